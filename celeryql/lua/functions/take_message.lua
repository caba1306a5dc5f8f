-- Note that a worker holds a message, and that it no longer holds those it has acknowledged.
--
-- Arguments: the message's tag, its entry in `unacked` as kombu writes it, the acknowledged tags.
-- Returns the time in milliseconds, or 0 if a worker already holds another copy of the message.

local keys = require('keys')
local outbox = require('outbox')
local transaction = require('transaction')

return function(_, args)
  local tag, entry = args[1], args[2]
  local tx = transaction.begin()
  if #args > 2 then
    redis.call('HDEL', keys.UNACKED, unpack(args, 3))
    redis.call('ZREM', keys.UNACKED_INDEX, unpack(args, 3))
  end
  if not outbox.take(tag) and redis.call('HEXISTS', keys.UNACKED, tag) == 1 then return 0 end
  redis.call('ZADD', keys.UNACKED_INDEX, transaction.seconds_ago(tx, 0), tag)
  redis.call('HSET', keys.UNACKED, tag, entry)
  return tx.now_ms
end
