-- Write one state of one task: Celery's result, record, event, workflow, and the next messages.
--
-- Arguments: a request (JSON) with the `change`, Celery's result meta, then one payload for each of
-- the change's `pushes`. The fields of a change:
--   id, set: the task, and the fields of its record that the worker sets.
--   start_id: identifies a start; nil for other states. Its record field is `start`.
--   replaced: how often the task replaced itself by another run, which is no failed attempt.
--   attempt: the run that reports this; nil if it is not a run but its worker.
--   report_id: identifies this report, so that a repeated write is recognized. Its record field is
--      `told`.
--   retries: Celery's count; is_unbegun: revoked before it began; input: arguments known only now.
--   adopt: fields of a new record, for a task that was enqueued by a plain Celery caller.
--   is_released: the pushes include the steps that become ready with this one.
-- Returns a code, and what belongs to it:
--   0: refused: the task has ended, or another run has begun.
--   1: written; the attempt, and how many attempts there may be.
--   2: not written, because steps become ready with this one. Their join, and their signatures: the
--      caller adds their messages to the change and calls again.
--   3: refused, because another run is alive; the time in milliseconds at which its lease ends.

local changes = require('changes')
local endings = require('endings')
local keys = require('keys')
local listings = require('listings')
local outbox = require('outbox')
local records = require('records')
local results = require('results')
local transaction = require('transaction')
local workflows = require('workflows')
local FINAL = require('states').FINAL
local as_text = transaction.as_text

local REFUSED, WRITTEN, NEXT_STEPS_READY, ANOTHER_RUN_IS_LIVE = 0, 1, 2, 3

local function written(record) return {WRITTEN, record.attempt, record.max_attempts or ''} end

-- A run is alive until its lease ends, which its worker renews. A run that replaced itself makes
-- way for the other.
local function has_live_run(tx, change, record)
  if not record.lease then return false end
  -- After an outage, the worker gets some time to renew the lease.
  if tonumber(record.lease) <= tx.now_ms
     and not outbox.is_after_outage(tx, tx.limits.lease_ms) then return false end
  return change.replaced <= tonumber(record.replaced or 0)
end

-- Return how a task ends that must not start: state and message. It was canceled, did not start in
-- time, or its worker was lost too often (a task that kills its worker would do so for ever).
local function refused_start(tx, change, record)
  if record.terminate then return 'CANCELED', 'canceled' end
  local root = records.get(tx, record.root or change.id)
  if root.expires_at and not root.started_at and tonumber(root.expires_at) <= tx.now_ms then
    return 'EXPIRED', 'expired'
  end
  local most = tonumber(record.max_attempts)  -- nil for a task that is not typed
  if record.state == 'RUNNING' and most and record.attempt - change.replaced >= most then
    return 'FAILED', 'The worker was lost during attempt ' .. record.attempt
                     .. ', the last one allowed'
  end
end

-- Return the answer to a start that must not be written; nil if it must.
local function answer_start(tx, change, record)
  if change.start_id == record.start then return written(record) end  -- its answer was lost
  -- A message from before a retry; the retry has a message of its own.
  local is_old = change.replaced == 0 and change.retries < tonumber(record.retries or 0)
  if is_old then return {REFUSED} end
  if has_live_run(tx, change, record) then return {ANOTHER_RUN_IS_LIVE, record.lease} end
  local state, message = refused_start(tx, change, record)
  if not state then return nil end
  endings.end_without_run(tx, change.id, state, message)
  endings.conclude(tx, change.id)
  return {REFUSED}
end

-- Whether a report comes too late: from a run after which another has begun, or from a worker about
-- a run that is not its own. A success always counts.
local function is_outdated(tx, change, record)
  if change.set.state == 'SUCCEEDED' then return false end
  if change.attempt then return change.attempt ~= tonumber(record.attempt) end
  if record.state ~= 'RUNNING' then return false end
  local worker = change.set.worker
  local is_live = record.lease and tonumber(record.lease) > tx.now_ms
  return (worker and record.worker ~= worker) or (change.is_unbegun and is_live)
end

-- Return the answer to a report that must not be written; nil if it must.
local function answer_report(tx, change, record)
  if is_outdated(tx, change, record) then return {REFUSED} end
  local is_repeated = record.told == change.report_id and change.set.state == 'RETRYING'
  return is_repeated and {WRITTEN} or nil
end

-- Note the success of a step that others wait for. If this is the last step they wait for and the
-- change does not have their messages yet, return what the caller needs to make them.
local function next_steps(change, record)
  local workflow, missing = keys.workflow(record.root), 'missing:' .. record.feeds
  if redis.call('HGET', workflow, missing) == '1' and not change.is_released then
    local join = workflows.join_json(record.root, record.feeds)
    local targets = cjson.decode(join).targets
    return {NEXT_STEPS_READY, join,
            redis.call('HMGET', keys.signatures(record.root), unpack(targets))}
  end
  redis.call('HINCRBY', workflow, missing, -1)
end

-- Make the record of a task that was enqueued by a plain Celery caller.
local function adopt(tx, change)
  local fields = {state = 'QUEUED', root = change.id, owner = '', created_at = tx.now,
                  attempt = '0'}
  for field, value in pairs(change.adopt) do fields[field] = value end
  records.save(tx, change.id, fields)
  listings.add(tx, {change.id}, keys.TASKS)
end

local function begin_run(tx, change, record)
  local set = change.set
  set.start, set.began_at = change.start_id, tx.now
  set.lease = as_text(tx.now_ms + tx.limits.lease_ms)
  set.attempt = as_text((record.attempt or 0) + 1)
  if not record.started_at then set.started_at = tx.now end
  if change.replaced > 0 then set.replaced = as_text(change.replaced) end
  records.forget(tx, change.id, 'failure')
  records.forget(tx, change.id, 'progress')
end

-- Complete the fields that the change sets.
local function complete(tx, change, record)
  local set = change.set
  if change.start_id then begin_run(tx, change, record) end
  if set.state ~= 'RUNNING' then records.forget(tx, change.id, 'lease') end
  -- Without an attempt, the retry is the worker's, which gives the message back.
  if set.state == 'RETRYING' and change.attempt then
    set.retries, set.told = as_text(change.retries + 1), change.report_id
  end
  if FINAL[set.state] then
    set.finished_at = tx.now
    endings.drop_waiting(tx, change.id)
  end
end

-- Send the messages that this task has set off, except to tasks that were canceled meanwhile.
local function send_all(tx, pushes, payload_of)
  for i, push in ipairs(pushes) do
    local id = push.task_id
    local follower = records.get(tx, id)
    if follower.state == 'WAITING' then
      redis.call('HDEL', keys.signatures(follower.root), id)
      changes.apply(tx, id, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE')
    end
    if not FINAL[follower.state] then outbox.send(tx, push, payload_of(i)) end
  end
end

local function write(tx, change, record, meta, payload_of)
  local id, set = change.id, change.set
  results.store(tx, id, meta)
  if not record.state then adopt(tx, change) end
  -- Only now known: the input of a plain caller's task, and of a step that got a value.
  if change.input and (record.root ~= id or not record.cursor) then
    redis.call('SET', keys.input(id), change.input)
  end
  local kind = set.progress and record.state == 'RUNNING' and 'PROGRESS' or 'STATE'
  complete(tx, change, record)
  changes.apply(tx, id, set, kind)
  send_all(tx, change.pushes, payload_of)
  if FINAL[set.state] then
    endings.conclude(tx, id)
  elseif record.root ~= id then
    endings.settle(tx, record.root)
  end
end

-- Whether a report is about a workflow, which no worker runs, or about a task that was never
-- accepted. Such reports come from callers that know only the id, such as `celery control revoke`.
local function has_no_run(tx, change, record)
  return workflows.is_workflow(tx, change.id) or (not record.state and not change.adopt)
end

-- Refuse a report about a task that has ended. Celery marks each later step of a failed chain: its
-- callers get to see that, once.
local function refuse_after_end(tx, change, meta)
  if FINAL[change.set.state] and redis.call('EXISTS', keys.result(change.id)) == 0 then
    results.store(tx, change.id, meta)
  end
  return {REFUSED}
end

-- Return the answer to a change that must not be written now; nil if it must.
local function answer_early(tx, change, record)
  if change.start_id then return answer_start(tx, change, record) end
  local answer = answer_report(tx, change, record)
  if not answer and record.feeds and change.set.state == 'SUCCEEDED' then
    answer = next_steps(change, record)
  end
  return answer
end

-- Cancel a task instead of retrying it, because its run was terminated.
local function cancel_retry(tx, id)
  endings.end_without_run(tx, id, 'CANCELED', 'canceled')
  endings.conclude(tx, id)
  return {WRITTEN}
end

return function(_, args)
  local request, meta = cjson.decode(args[1]), args[2]
  local tx, change = transaction.begin(request.limits), request.change
  local record = records.get(tx, change.id)
  if has_no_run(tx, change, record) then
    results.store(tx, change.id, meta)
    return {WRITTEN}
  end
  if FINAL[record.state] then return refuse_after_end(tx, change, meta) end

  local answer = answer_early(tx, change, record)
  if answer then return answer end
  if record.terminate and change.set.state == 'RETRYING' then return cancel_retry(tx, change.id) end
  write(tx, change, record, meta, function(i) return args[i + 2] end)
  return written(record)
end
