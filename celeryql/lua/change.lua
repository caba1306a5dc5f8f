-- Shared by the scripts that write records: one change of one record, and the event that tells it.
-- ARGV[1] is the request (JSON); what more there is, each script says. Times are Redis TIME in
-- milliseconds. All hash values and event members are strings.

local request = cjson.decode(ARGV[1])
local limits = request.limits

local LONG_HISTORY = 1000
-- What changes after a task was accepted; an event carries all of it.
local MUTABLE = {'state', 'celery_state', 'version', 'attempt', 'worker', 'progress', 'failure',
                 'started_at', 'finished_at'}

local function task_key(id) return 'celeryql:task:' .. id end
local function input_key(id) return 'celeryql:input:' .. id end
local function meta_key(id) return 'celery-task-meta-' .. id end
local function events_key(id) return 'celeryql:events:' .. id end

-- Records that this run of the script has read or made; `save` keeps them true.
local records = {}

local function record_of(id)
  if not records[id] then
    local flat, record = redis.call('HGETALL', task_key(id)), {}
    for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
    records[id] = record
  end
  return records[id]
end

local function save(id, changes)
  local record, flat = record_of(id), {}
  for field, value in pairs(changes) do
    record[field] = value
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', task_key(id), unpack(flat))
end

-- A history keeps every state; of very much progress only the newest, of very much at all only
-- the end. What was cut off is remembered, so that who comes back for it is told.
local function keep_in_history(root, entry, id, kind)
  local key = events_key(root)
  if kind == 'PROGRESS' and redis.call('LLEN', key) >= LONG_HISTORY then
    local last = cjson.decode(string.match(redis.call('LINDEX', key, -1), ' (.*)'))
    if last.kind == 'PROGRESS' and last.id == id then
      redis.call('LSET', key, -1, entry)
      return
    end
  end
  if redis.call('RPUSH', key, entry) > limits.history_kept then
    save(root, {trimmed = string.match(redis.call('LPOP', key), '^%S+')})
  end
end

-- Append an event to the stream of all and to the history of its root.
local function append(id, root, kind, event)
  local json = cjson.encode(event)
  -- Numbered without a gap, so that a reader sees when the stream was trimmed ahead of it.
  local cursor = redis.call('XADD', 'celeryql:events', 'MAXLEN', '~', limits.events_kept, '*',
                            'number', redis.call('INCR', 'celeryql:event_number'),
                            'root', root, 'event', json)
  keep_in_history(root, cursor .. ' ' .. json, id, kind)
  return cursor
end

local function next_version(record) return as_text((record.version or 0) + 1) end

local function mutable_of(record)
  local event = {}
  for _, field in ipairs(MUTABLE) do event[field] = record[field] end
  return event
end

-- Make a change of a record, and the event of it.
local function event_of(id, changes, kind)
  local record = record_of(id)
  count_durations(record, changes.state)
  changes.version = next_version(record)
  for field, value in pairs(changes) do record[field] = value end
  local event = mutable_of(record)
  event.id, event.kind, event.at = id, kind, now
  return event
end

-- Keep Celery's result as long as the record: of a step, other steps may need it for long.
local function store_result(id, meta)
  if (record_of(id).root or id) ~= id then
    redis.call('SET', meta_key(id), meta)
  else
    redis.call('SETEX', meta_key(id), limits.ttl_s, meta)
  end
  redis.call('PUBLISH', meta_key(id), meta)
end

-- Give what is kept of a task that is no step its time to live; its result has one already.
local function expire_alone(id)
  local record = record_of(id)
  redis.call('EXPIRE', task_key(id), limits.ttl_s)
  redis.call('EXPIRE', input_key(id), limits.ttl_s)
  redis.call('EXPIRE', events_key(id), limits.ttl_s)
  if record.claim then redis.call('EXPIRE', record.claim, limits.ttl_s) end
  if record.expires_at then redis.call('ZREM', 'celeryql:expiring', id) end
end
