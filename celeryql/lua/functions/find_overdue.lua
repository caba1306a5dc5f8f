-- Find messages whose workers are dead or cut off: nobody has renewed them in time.
--
-- Arguments: the visibility timeout in seconds, how many messages to return at most.
-- Returns their tags.

local keys = require('keys')
local outbox = require('outbox')
local transaction = require('transaction')

return function(_, args)
  local visibility_timeout, most = tonumber(args[1]), args[2]
  local tx = transaction.begin()
  if outbox.is_after_outage(tx, visibility_timeout * 1000) then return {} end
  local before = transaction.seconds_ago(tx, visibility_timeout)
  return redis.call('ZRANGEBYSCORE', keys.UNACKED_INDEX, '-inf', before, 'LIMIT', 0, most)
end
