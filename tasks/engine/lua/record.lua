-- Shared by every script: records, their events, and the messages that go with them.
-- ARGV[1] is the request (JSON); what more there is, each script says. Times are Redis TIME in
-- milliseconds. All hash values and event members are strings.

local request = cjson.decode(ARGV[1])
local limits = request.limits

local FINAL = {SUCCEEDED = true, FAILED = true, CANCELED = true, SKIPPED = true, EXPIRED = true}
local CELERY_STATES = {SCHEDULED = 'PENDING', WAITING = 'PENDING', QUEUED = 'PENDING',
                       RUNNING = 'STARTED', SUCCEEDED = 'SUCCESS', FAILED = 'FAILURE',
                       SKIPPED = 'FAILURE', CANCELED = 'REVOKED', EXPIRED = 'REVOKED'}
local LONG_HISTORY = 1000
-- What changes after a task was accepted; an event carries all of it.
local MUTABLE = {'state', 'celery_state', 'version', 'attempt', 'worker', 'progress', 'failure',
                 'started_at', 'finished_at'}

local now_ms = math.floor(now_us / 1000)
local now = as_text(now_ms)

local function task_key(id) return 'celeryql:task:' .. id end
local function input_key(id) return 'celeryql:input:' .. id end
local function meta_key(id) return 'celery-task-meta-' .. id end
local function workflow_key(id) return 'celeryql:workflow:' .. id end
local function signatures_key(id) return 'celeryql:signatures:' .. id end
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

local function forget(id, ...)
  redis.call('HDEL', task_key(id), ...)
  for _, field in ipairs({...}) do record_of(id)[field] = nil end
end

-- A history keeps every state; of very much progress only the newest, of very much at all only
-- the end. What was cut off is remembered, so that who comes back for it is told.
local function keep_in_history(root, entry, id, kind)
  local key = events_key(root)
  local length = redis.call('LLEN', key)
  if kind == 'PROGRESS' and length >= LONG_HISTORY then
    local last = cjson.decode(string.match(redis.call('LINDEX', key, -1), ' (.*)'))
    if last.kind == 'PROGRESS' and last.id == id then
      redis.call('LSET', key, -1, entry)
      return
    end
  end
  redis.call('RPUSH', key, entry)
  if length >= limits.history_kept then
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

local function drop_held(id)
  if redis.call('ZREM', 'celeryql:scheduled', id) == 1 then
    redis.call('HDEL', 'celeryql:scheduled_messages', id)
  end
end

local MANY = 1000  -- arguments of one command; Lua has room for 8,000

-- Let go of those of a listing that have passed retention; most often none has.
local function let_go(key, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = task_key(id) end
  if #keys == 0 or redis.call('EXISTS', unpack(keys)) == #keys then return end
  for i, id in ipairs(ids) do
    if redis.call('EXISTS', keys[i]) == 0 then redis.call('ZREM', key, id) end
  end
end

-- Look at so many of a listing as come next, from old to new and round again. (As many at random
-- lie anywhere in memory: that takes longer the more there are.)
local function look_on(key, count)
  local behind = redis.call('HGET', 'celeryql:looked_at', key) or '-inf'
  local found = redis.call('ZRANGEBYSCORE', key, '(' .. behind, '+inf', 'WITHSCORES',
                           'LIMIT', 0, count)
  local ids = {}
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    if #ids == MANY then
      let_go(key, ids)
      ids = {}
    end
  end
  let_go(key, ids)
  redis.call('HSET', 'celeryql:looked_at', key, found[2 * count] or '-inf')
end

-- List tasks by the microsecond they were accepted, in the order given. For each that comes, four
-- others are looked at: so a listing holds at most a third more than what is kept, at a bounded cost.
local function list_all(ids, keys)
  for _, key in ipairs(keys) do
    local members = {}
    for i, id in ipairs(ids) do
      members[#members + 1] = as_text(now_us + i - 1)
      members[#members + 1] = id
      if #members == MANY or i == #ids then
        redis.call('ZADD', key, unpack(members))
        members = {}
      end
    end
    look_on(key, 4 * #ids)
  end
end

local function list(id, keys) list_all({id}, keys) end

local function expire_task(id)
  redis.call('EXPIRE', task_key(id), limits.ttl_s)
  redis.call('EXPIRE', input_key(id), limits.ttl_s)
  redis.call('EXPIRE', meta_key(id), limits.ttl_s)
  local claim = record_of(id).claim
  if claim then redis.call('EXPIRE', claim, limits.ttl_s) end
end
