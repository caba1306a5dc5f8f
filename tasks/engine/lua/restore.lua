-- Give a message back that a worker held, unless it is held no more.
-- ARGV: its tag, `first` or `last` for when it is taken next, its payload, its queue lists.

local tag, place, payload = unpack(ARGV, 1, 3)
redis.call('ZREM', 'unacked_index', tag)
if redis.call('HDEL', 'unacked', tag) == 0 then return end
for i = 4, #ARGV do
  if place == 'first' then
    push_first(ARGV[i], tag, payload)
  else
    push_last(ARGV[i], tag, payload)
  end
end
