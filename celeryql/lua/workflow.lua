-- Shared by the scripts that write records: the steps of workflows, what each sets off, and how the whole stands.

local STATES = {'SCHEDULED', 'WAITING', 'QUEUED', 'RUNNING', 'RETRYING',
                'SUCCEEDED', 'FAILED', 'CANCELED', 'SKIPPED', 'EXPIRED'}

-- How many steps are in which state, by workflow; read once, as records are.
local counts = {}

local function counts_of(root)
  if not counts[root] then
    local names = {'total', 'reused', unpack(STATES)}
    local values = redis.call('HMGET', workflow_key(root), unpack(names))
    counts[root] = {}
    for i, name in ipairs(names) do counts[root][name] = tonumber(values[i] or 0) end
  end
  return counts[root]
end

local function count(root, state, difference)
  local found = counts_of(root)
  found[state] = found[state] + difference
  redis.call('HINCRBY', workflow_key(root), state, difference)
end

-- What the counts of its steps make of a workflow; steps that a retry took over had ended before.
local function derived_state(root)
  local n, ended = counts_of(root), 0
  for state in pairs(FINAL) do ended = ended + n[state] end
  if ended < n.total then
    local begun = n.RUNNING + n.RETRYING + n.FAILED + n.SUCCEEDED - n.reused
    if begun > 0 or record_of(root).started_at then return 'RUNNING' end
    return n.QUEUED == 0 and n.SCHEDULED > 0 and 'SCHEDULED' or 'QUEUED'
  end
  for _, state in ipairs({'FAILED', 'CANCELED', 'EXPIRED'}) do
    if n[state] > 0 then return state end
  end
  return 'SUCCEEDED'
end

-- What follows for a workflow from the state that its steps give it.
local function derived_changes(root)
  local record, state = record_of(root), derived_state(root)
  local changes = {state = state, celery_state = CELERY_STATES[state]}
  if state == 'RUNNING' and not record.started_at then changes.started_at = now end
  if FINAL[state] then changes.finished_at = record.finished_at or now end
  return changes
end

-- The workflow as of this event: what its subscribers need to draw it, without its steps.
local function summary_of(root)
  local summary = mutable_of(record_of(root))
  for field, value in pairs(derived_changes(root)) do summary[field] = value end
  summary.counts = {total = as_text(counts_of(root).total)}
  for _, state in ipairs(STATES) do
    local n = counts_of(root)[state]
    if n > 0 then summary.counts[state] = as_text(n) end
  end
  return summary
end

-- Change a task and tell of it; the counts of its workflow follow.
local function move(id, changes, kind)
  local record = record_of(id)
  local root, before = changes.root or record.root, record.state
  if root ~= id and changes.state and changes.state ~= before then
    if before then count(root, before, -1) end
    count(root, changes.state, 1)
  end
  local event = event_of(id, changes, kind)
  if root ~= id then
    if record.state == 'FAILED' and not record_of(root).failure then
      save(root, {failure = record.failure})  -- the first of its steps' is the workflow's
    end
    record_of(root).version = next_version(record_of(root))
    event.workflow = summary_of(root)
  end
  changes.cursor = append(id, root, kind, event)
  save(id, changes)
  if root ~= id then
    save(root, {version = record_of(root).version, cursor = changes.cursor})
  end
end

local function is_workflow(id) return record_of(id).definition == 'workflow' end

-- The tasks that a root is made of: the steps of a workflow, or itself.
local function tasks_of(root)
  if not is_workflow(root) then return {root} end
  local ids = {}
  for i, step in ipairs(cjson.decode(redis.call('HGET', workflow_key(root), 'steps'))) do
    ids[i] = step.id
  end
  return ids
end

local function expire_step(id)
  for _, key in ipairs({task_key(id), input_key(id), meta_key(id)}) do
    redis.call('EXPIRE', key, limits.ttl_s)
  end
end

-- A root's keys get their time to live together, once nothing can change them any more.
local function expire_root(root)
  expire_alone(root)
  if not is_workflow(root) then return end
  redis.call('DEL', signatures_key(root))
  redis.call('EXPIRE', workflow_key(root), limits.ttl_s)
  for _, id in ipairs(tasks_of(root)) do expire_step(id) end
end

-- Derive the workflow's own state from its steps; an event of its own tells only of a change.
local function settle(root)
  local changes = derived_changes(root)
  if changes.state == record_of(root).state then return end
  move(root, changes, 'STATE')
  if FINAL[changes.state] then expire_root(root) end
end

-- Let go of what is kept of a task until it is sent.
local function drop_waiting(id)
  local record = record_of(id)
  if record.state == 'SCHEDULED' or record.state == 'RETRYING' then drop_held(id) end
  if record.state == 'WAITING' then redis.call('HDEL', signatures_key(record.root), id) end
end

local EXCEPTIONS = {SKIPPED = {'StepSkipped', cjson.null},
                    FAILED = {'WorkerLostError', 'billiard.exceptions'},
                    CANCELED = {'TaskRevokedError', 'celery.exceptions'},
                    EXPIRED = {'TaskRevokedError', 'celery.exceptions'}}

-- End a task that no worker will write the result of, so Celery's is written here.
local function end_unrun(id, state, message, caused_by)
  local type, module = unpack(EXCEPTIONS[state])
  drop_waiting(id)
  store_result(id, cjson.encode({
    task_id = id, status = CELERY_STATES[state], traceback = cjson.null, date_done = cjson.null,
    result = {exc_type = type, exc_message = {message}, exc_module = module}}))
  local changes = {state = state, celery_state = CELERY_STATES[state], finished_at = now}
  if CELERY_STATES[state] == 'FAILURE' then
    changes.failure = cjson.encode({type = type, message = message, causedBy = caused_by,
                                    retryable = false})
  end
  move(id, changes, 'STATE')
end

-- End all of a root that waits to run, and return how many tasks that were.
local function end_waiting(root, state, message)
  local ended = 0
  for _, id in ipairs(tasks_of(root)) do
    local before = record_of(id).state
    if before ~= 'RUNNING' and not FINAL[before] then
      end_unrun(id, state, message)
      ended = ended + 1
    end
  end
  return ended
end

local function join_of(root, number)
  return cjson.decode(redis.call('HGET', workflow_key(root), 'join:' .. number))
end

-- Steps that wait, directly or not, for one that ended without a result will never run.
local function skip_after(id)
  local record = record_of(id)
  local message = 'Step ' .. record.key .. ' ended without a result'
  local joins = {record.feeds}
  while #joins > 0 do
    for _, target in ipairs(join_of(record.root, table.remove(joins)).targets) do
      if record_of(target).state == 'WAITING' then
        end_unrun(target, 'SKIPPED', message, record.key)
        joins[#joins + 1] = record_of(target).feeds
      end
    end
  end
end

-- What the end of a task, or of steps of a workflow, means for the rest.
local function conclude(id)
  local record = record_of(id)
  if is_workflow(id) then
    settle(id)
  elseif record.root == id then
    expire_root(id)
  else
    if record.state ~= 'SUCCEEDED' then skip_after(id) end
    settle(record.root)
  end
end
