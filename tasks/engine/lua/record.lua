-- Shared by every script that writes: records, events, and the state of workflows.
-- Times are Redis TIME in milliseconds. All hash values and event members are strings.

local FINAL = {SUCCEEDED = true, FAILED = true, CANCELED = true, SKIPPED = true, EXPIRED = true}
local STATES = {'SCHEDULED', 'WAITING', 'QUEUED', 'RUNNING', 'RETRYING',
                'SUCCEEDED', 'FAILED', 'CANCELED', 'SKIPPED', 'EXPIRED'}
local LONG_HISTORY = 1000
-- What changes after a task was accepted; an event carries all of it.
local MUTABLE = {'state', 'celery_state', 'version', 'attempt', 'worker', 'progress', 'failure',
                 'started_at', 'finished_at'}

local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))

local function task_key(id) return 'celeryql:task:' .. id end
local function input_key(id) return 'celeryql:input:' .. id end
local function workflow_key(id) return 'celeryql:workflow:' .. id end
local function events_key(id) return 'celeryql:events:' .. id end

local function read_hash(key)
  local flat, hash = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

-- Not HGETALL: beside the counts lies the graph, which may be large.
local function step_counts(id)
  local values = redis.call('HMGET', workflow_key(id), 'total', unpack(STATES))
  local counts = {total = values[1]}
  for i, state in ipairs(STATES) do counts[state] = values[i + 1] or '0' end
  return counts
end

-- What the counts of its steps make of a workflow.
local function derived_state(counts)
  local function n(state) return tonumber(counts[state] or 0) end
  local ended = 0
  for state in pairs(FINAL) do ended = ended + n(state) end
  if ended < tonumber(counts.total) then
    local untouched = n('SCHEDULED') + n('WAITING') + n('QUEUED')
    return untouched == tonumber(counts.total) and 'QUEUED' or 'RUNNING'
  end
  for _, state in ipairs({'FAILED', 'CANCELED', 'EXPIRED'}) do
    if n(state) > 0 then return state end
  end
  return 'SUCCEEDED'
end

local CELERY_STATES = {QUEUED = 'PENDING', RUNNING = 'STARTED', SUCCEEDED = 'SUCCESS',
                       FAILED = 'FAILURE', CANCELED = 'REVOKED', EXPIRED = 'REVOKED'}

-- The workflow as of this event: what its subscribers need to draw it, without its steps.
local function workflow_summary(id)
  local record, counts = read_hash(task_key(id)), step_counts(id)
  local summary = {counts = {total = counts.total}}
  for _, state in ipairs(STATES) do
    if counts[state] ~= '0' then summary.counts[state] = counts[state] end
  end
  for _, field in ipairs(MUTABLE) do summary[field] = record[field] end
  summary.state = derived_state(counts)
  summary.celery_state = CELERY_STATES[summary.state]
  if summary.state ~= 'QUEUED' then summary.started_at = summary.started_at or now end
  if FINAL[summary.state] then summary.finished_at = summary.finished_at or now end
  return summary
end

-- A history keeps every state; of very much progress, only the newest.
local function keep_in_history(root, entry, id, kind)
  local key = events_key(root)
  if kind == 'PROGRESS' and redis.call('LLEN', key) >= LONG_HISTORY then
    local last = cjson.decode(string.match(redis.call('LINDEX', key, -1), ' (.*)'))
    if last.kind == 'PROGRESS' and last.id == id then
      redis.call('LSET', key, -1, entry)
      return
    end
  end
  redis.call('RPUSH', key, entry)
end

-- Append an event of the task as it is now: to the stream of all, and to its root's history.
local function emit(id, kind, events_kept)
  redis.call('HINCRBY', task_key(id), 'version', 1)
  local record = read_hash(task_key(id))
  local event = {id = id, kind = kind, at = now}
  for _, field in ipairs(MUTABLE) do event[field] = record[field] end
  if record.root ~= id then
    redis.call('HINCRBY', task_key(record.root), 'version', 1)
    event.workflow = workflow_summary(record.root)
  end
  local json = cjson.encode(event)
  -- Numbered without a gap, so that a reader sees when the stream was trimmed ahead of it.
  local cursor = redis.call('XADD', 'celeryql:events', 'MAXLEN', '~', events_kept, '*',
                            'number', redis.call('INCR', 'celeryql:event_number'),
                            'root', record.root, 'event', json)
  keep_in_history(record.root, cursor .. ' ' .. json, id, kind)
  redis.call('HSET', task_key(id), 'cursor', cursor)
  if record.root ~= id then redis.call('HSET', task_key(record.root), 'cursor', cursor) end
end

local function expire_task(id, ttl)
  redis.call('EXPIRE', task_key(id), ttl)
  redis.call('EXPIRE', input_key(id), ttl)
  redis.call('EXPIRE', 'celery-task-meta-' .. id, ttl)
  local claim = redis.call('HGET', task_key(id), 'claim')
  if claim then redis.call('EXPIRE', claim, ttl) end
end

-- A root's keys get their time to live together, once nothing can change them any more.
local function expire_root(id, ttl)
  expire_task(id, ttl)
  redis.call('EXPIRE', events_key(id), ttl)
  local graph = redis.call('HGET', workflow_key(id), 'graph')
  if graph then
    redis.call('EXPIRE', workflow_key(id), ttl)
    for _, step in ipairs(cjson.decode(graph)) do expire_task(step.id, ttl) end
  end
end

-- Derive the workflow's own state from its counts; an event of its own tells only of a change.
local function settle_workflow(id, events_kept, ttl, failure)
  local state = derived_state(step_counts(id))
  local record = read_hash(task_key(id))
  if failure and not record.failure then
    redis.call('HSET', task_key(id), 'failure', failure)
  end
  if state == record.state then return end
  redis.call('HSET', task_key(id), 'state', state, 'celery_state', CELERY_STATES[state])
  if not record.started_at then redis.call('HSET', task_key(id), 'started_at', now) end
  if FINAL[state] then redis.call('HSET', task_key(id), 'finished_at', now) end
  emit(id, 'STATE', events_kept)
  if FINAL[state] then expire_root(id, ttl) end
end

-- Give a task its next state and tell of it; the workflow's counts follow.
local function move(id, record, changes, kind, events_kept)
  local flat = {}
  for field, value in pairs(changes) do flat[#flat + 1] = field; flat[#flat + 1] = value end
  redis.call('HSET', task_key(id), unpack(flat))
  if record.root ~= id and changes.state and changes.state ~= record.state then
    redis.call('HINCRBY', workflow_key(record.root), record.state, -1)
    redis.call('HINCRBY', workflow_key(record.root), changes.state, 1)
  end
  emit(id, kind, events_kept)
end

-- Steps that wait, directly or not, for one that ended without a result will never run.
local function skip_dependents(root, key, events_kept)
  local dead = {[key] = true}
  local failure = cjson.encode({type = 'StepSkipped', causedBy = key, retryable = false,
                                message = 'Step ' .. key .. ' ended without a result'})
  for _, step in ipairs(cjson.decode(redis.call('HGET', workflow_key(root), 'graph'))) do
    for _, dependency in ipairs(step.depends_on) do
      if dead[dependency] then dead[step.key] = true end
    end
    if dead[step.key] and step.key ~= key then
      local record = read_hash(task_key(step.id))
      if record.state and not FINAL[record.state] then
        move(step.id, record, {state = 'SKIPPED', celery_state = 'FAILURE', failure = failure,
                               finished_at = now}, 'STATE', events_kept)
      end
    end
  end
end
