-- Note that a worker holds a message. ARGV: its tag, its entry in `unacked` as kombu writes it.
-- Returns 0 where another copy of it is held already, else 1.

local tag, entry = unpack(ARGV)
pass_when_full()
if not take(tag) and redis.call('HEXISTS', 'unacked', tag) == 1 then return 0 end
redis.call('ZADD', 'unacked_index', seconds_ago(0), tag)
redis.call('HSET', 'unacked', tag, entry)
return 1
