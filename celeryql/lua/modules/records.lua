-- The records of tasks and workflows: hashes whose values are all text.

local keys = require('keys')

local records = {}

-- Get a record; an empty table if there is none. Each is read once a call, and kept up to date.
function records.get(tx, id)
  local record = tx.records[id]
  if not record then
    record = {}
    local flat = redis.call('HGETALL', keys.task(id))
    for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
    tx.records[id] = record
  end
  return record
end

-- Write some fields of a record.
function records.save(tx, id, changes)
  local record, flat = records.get(tx, id), {}
  for field, value in pairs(changes) do
    record[field] = value
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', keys.task(id), unpack(flat))
end

-- Delete one field of a record, if it is set.
function records.forget(tx, id, field)
  local record = records.get(tx, id)
  if not record[field] then return end
  record[field] = nil
  redis.call('HDEL', keys.task(id), field)
end

-- Return a record as JSON.
function records.to_json(tx, id)
  local record = records.get(tx, id)
  record.id = id
  return cjson.encode(record)
end

return records
