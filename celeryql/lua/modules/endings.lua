-- The ends of tasks: what a task's end means for its workflow, tasks that end without a run, and
-- how long ended tasks are kept.

local changes = require('changes')
local keys = require('keys')
local outbox = require('outbox')
local records = require('records')
local results = require('results')
local states = require('states')
local workflows = require('workflows')

-- The exception that `AsyncResult.get` raises for a task that ended without a run: its name, and
-- its module if it has one.
local EXCEPTIONS = {SKIPPED = {'StepSkipped'},
                    FAILED = {'WorkerLostError', 'billiard.exceptions'},
                    CANCELED = {'TaskRevokedError', 'celery.exceptions'},
                    EXPIRED = {'TaskRevokedError', 'celery.exceptions'}}

local endings = {}

local function expire(tx, key) redis.call('EXPIRE', key, tx.limits.ttl_s) end

-- Set the time to live of all keys of a root, once nothing can change them any more.
-- The result of a task that is no step has one already.
local function expire_root(tx, root)
  local record = records.get(tx, root)
  expire(tx, keys.task(root))
  expire(tx, keys.input(root))
  expire(tx, keys.history(root))
  if record.claim then expire(tx, record.claim) end  -- the reserved idempotency key
  if record.expires_at then redis.call('ZREM', keys.EXPIRING, root) end
  if not workflows.is_workflow(tx, root) then return end
  redis.call('DEL', keys.signatures(root))
  expire(tx, keys.workflow(root))
  for _, id in ipairs(workflows.tasks_of(tx, root)) do
    expire(tx, keys.task(id))
    expire(tx, keys.input(id))
    expire(tx, keys.result(id))
  end
end

-- Set the state of a workflow that follows from its steps, if that is a new one.
function endings.settle(tx, root)
  local fields = workflows.derived_changes(tx, root)
  if fields.state == records.get(tx, root).state then return end
  changes.apply(tx, root, fields, 'STATE')
  if states.FINAL[fields.state] then expire_root(tx, root) end
end

-- Drop the message or signature that was kept until a task could be sent.
function endings.drop_waiting(tx, id)
  local record = records.get(tx, id)
  if record.state == 'SCHEDULED' or record.state == 'RETRYING' then outbox.drop_scheduled(id) end
  if record.state == 'WAITING' then redis.call('HDEL', keys.signatures(record.root), id) end
end

-- End a task that no worker reports the end of. Celery's result is written here, too.
-- `caused_by` is the key of the step that a skipped step waited for.
function endings.end_without_run(tx, id, state, message, caused_by)
  local type, module = unpack(EXCEPTIONS[state])
  endings.drop_waiting(tx, id)
  results.store(tx, id, cjson.encode({
    task_id = id, status = states.CELERY[state], traceback = cjson.null, date_done = cjson.null,
    result = {exc_type = type, exc_message = {message}, exc_module = module or cjson.null}}))
  local fields = {state = state, celery_state = states.CELERY[state], finished_at = tx.now}
  if fields.celery_state == 'FAILURE' then
    fields.failure = cjson.encode({type = type, message = message, causedBy = caused_by,
                                   retryable = false})
  end
  changes.apply(tx, id, fields, 'STATE')
end

-- End every task of a root that has not started, and return how many there were.
function endings.end_waiting(tx, root, state, message)
  local ended = 0
  for _, id in ipairs(workflows.tasks_of(tx, root)) do
    local before = records.get(tx, id).state
    if before ~= 'RUNNING' and not states.FINAL[before] then
      endings.end_without_run(tx, id, state, message)
      ended = ended + 1
    end
  end
  return ended
end

-- Skip the steps that wait, directly or through others, for one that ended without a result.
local function skip_dependents(tx, id)
  local record = records.get(tx, id)
  local message = 'Step ' .. record.key .. ' ended without a result'
  local joins = {record.feeds}
  while #joins > 0 do
    local join = cjson.decode(workflows.join_json(record.root, table.remove(joins)))
    for _, target in ipairs(join.targets) do
      if records.get(tx, target).state == 'WAITING' then
        endings.end_without_run(tx, target, 'SKIPPED', message, record.key)
        joins[#joins + 1] = records.get(tx, target).feeds
      end
    end
  end
end

-- Do what follows from the end of a task, or from the ends of steps of the workflow `id`.
function endings.conclude(tx, id)
  local record = records.get(tx, id)
  if workflows.is_workflow(tx, id) then
    endings.settle(tx, id)
  elseif record.root == id then
    expire_root(tx, id)
  else
    if record.state ~= 'SUCCEEDED' then skip_dependents(tx, id) end
    endings.settle(tx, record.root)
  end
end

return endings
