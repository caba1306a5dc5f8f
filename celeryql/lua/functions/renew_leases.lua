-- Renew a worker's leases: the messages that it holds, and the tasks that it runs.
--
-- Argument: a request (JSON) with the `worker`, the `tags` that it holds, the `ids` that it runs,
-- and `lease_ms`, how long from now these are its own; 0 gives them up.

local keys = require('keys')
local records = require('records')
local transaction = require('transaction')
local as_text = transaction.as_text

return function(_, args)
  local request = cjson.decode(args[1])
  local tx = transaction.begin(request.limits)
  for _, tag in ipairs(request.tags) do
    redis.call('ZADD', keys.UNACKED_INDEX, 'XX', transaction.seconds_ago(tx, 0), tag)
  end
  for _, id in ipairs(request.ids) do
    local record = records.get(tx, id)
    if record.lease and record.worker == request.worker then
      if request.lease_ms > 0 then
        records.save(tx, id, {lease = as_text(tx.now_ms + request.lease_ms)})
      else
        records.forget(tx, id, 'lease')
      end
    end
  end
end
