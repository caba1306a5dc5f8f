-- Celery's own results (the "meta"), stored and published as its stock Redis backend does.

local keys = require('keys')
local records = require('records')

local results = {}

-- Store a result. A step's result gets its time to live with its workflow, because other steps may
-- need it until then.
function results.store(tx, id, meta)
  local key = keys.result(id)
  if (records.get(tx, id).root or id) ~= id then
    redis.call('SET', key, meta)
  else
    redis.call('SETEX', key, tx.limits.ttl_s, meta)
  end
  redis.call('PUBLISH', key, meta)
end

return results
