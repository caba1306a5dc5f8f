-- Return a message that a worker held to its queues, unless no worker holds it any more.
--
-- Arguments: the message's tag, its new tag, `first` or `last` for when it is taken next, its
-- payload, its queue lists. Without queue lists it stays held.

local keys = require('keys')
local outbox = require('outbox')
local transaction = require('transaction')

return function(_, args)
  local tag, new_tag, place, payload = unpack(args, 1, 4)
  if #args < 5 then return end
  local tx = transaction.begin()
  redis.call('ZREM', keys.UNACKED_INDEX, tag)
  if redis.call('HDEL', keys.UNACKED, tag) == 0 then return end
  local push = place == 'first' and outbox.push_first or outbox.push_last
  for i = 5, #args do push(tx, args[i], new_tag, payload) end
end
