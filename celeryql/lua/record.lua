-- Shared by the scripts that write records: their states, and where they are listed and held.

local FINAL = {SUCCEEDED = true, FAILED = true, CANCELED = true, SKIPPED = true, EXPIRED = true}
local CELERY_STATES = {SCHEDULED = 'PENDING', WAITING = 'PENDING', QUEUED = 'PENDING',
                       RUNNING = 'STARTED', SUCCEEDED = 'SUCCESS', FAILED = 'FAILURE',
                       SKIPPED = 'FAILURE', CANCELED = 'REVOKED', EXPIRED = 'REVOKED'}

local function workflow_key(id) return 'celeryql:workflow:' .. id end
local function signatures_key(id) return 'celeryql:signatures:' .. id end

local function forget(id, ...)
  redis.call('HDEL', task_key(id), ...)
  for _, field in ipairs({...}) do record_of(id)[field] = nil end
end

local function told(id)
  local record = record_of(id)
  record.id = id
  return cjson.encode(record)
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
-- others are looked at: so a listing holds at most a third more than is kept, at a bounded cost.
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
