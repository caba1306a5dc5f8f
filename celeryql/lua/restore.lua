-- Give a message back that a worker held, unless it is held no more.
-- ARGV: its tag, its new tag, `first` or `last` for when it is taken next, its payload, its queue
-- lists; where there are none it stays held.

local tag, new_tag, place, payload = unpack(ARGV, 1, 4)
if #ARGV < 5 then return end
redis.call('ZREM', 'unacked_index', tag)
if redis.call('HDEL', 'unacked', tag) == 0 then return end
local push_back = place == 'first' and push_first or push_last
for i = 5, #ARGV do push_back(ARGV[i], new_tag, payload) end
