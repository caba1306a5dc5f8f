-- Note that a worker holds a message, and no more others. ARGV: its tag, its entry in `unacked` as
-- kombu writes it, the tags of the others.
-- Returns 0 where another copy of it is held already, else the time.

local tag, entry = unpack(ARGV)
pass_when_full()
if #ARGV > 2 then
  redis.call('HDEL', 'unacked', unpack(ARGV, 3))
  redis.call('ZREM', 'unacked_index', unpack(ARGV, 3))
end
if not take(tag) and redis.call('HEXISTS', 'unacked', tag) == 1 then return 0 end
redis.call('ZADD', 'unacked_index', seconds_ago(0), tag)
redis.call('HSET', 'unacked', tag, entry)
return now_ms
