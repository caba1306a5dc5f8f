-- Push one message, or schedule it if it is due later.
--
-- Arguments: the push (JSON, see `outbox.lua`), its payload.

local outbox = require('outbox')
local transaction = require('transaction')

return function(_, args)
  outbox.send(transaction.begin(), cjson.decode(args[1]), args[2])
end
