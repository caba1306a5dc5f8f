-- Write one state of one task: Celery's result, record, event, workflow, and what follows it.
-- ARGV: the change, Celery's result meta, then one payload for each push of the change.
-- Returns a code, and what belongs to it:
--   0: not taken: the task has ended, or another run of it has begun.
--   1: taken; at a start also the attempt that begins, and how many there may be.
--   2: nothing was written, because steps become ready with this one: what they are handed, and
--      their signatures, whose messages the caller adds to the change (`is_released`).
--   3: not taken: another run of it lives, at least until the time that is given.
-- What comes first of it, with the names that are used here, is in `alone.lua`.

-- A start that must not be: canceled behind its worker's back, not begun in time, or once more
-- after a run that never came to an end, for a task that kills its worker would do so for ever.
local function refused_start()
  if record.terminate then return 'CANCELED', 'canceled' end
  local root = record_of(record.root or id)
  if root.expires_at and not root.started_at and tonumber(root.expires_at) <= now_ms then
    return 'EXPIRED', 'expired'
  end
  local most = tonumber(record.max_attempts)  -- none for a task that is not typed
  if record.state == 'RUNNING' and most and record.attempt - change.replaced >= most then
    return 'FAILED', 'Its worker was lost in run ' .. record.attempt .. ', the last it may have'
  end
end

-- A run lives as long as its worker renews the lease. One that replaced itself makes way.
local function has_live_run()
  if not record.lease then return false end
  -- After an outage its worker gets some time to renew it.
  if tonumber(record.lease) <= now_ms and not is_after_outage(limits.lease_ms) then return false end
  return change.replaced <= tonumber(record.replaced or 0)
end

local function adopt()  -- enqueued by a plain Celery caller: it becomes visible now
  local fields = {state = 'QUEUED', root = id, owner = '', created_at = now, attempt = '0'}
  for field, value in pairs(change.adopt) do fields[field] = value end
  save(id, fields)
  list_all({id}, {'celeryql:tasks'})
end

-- What a run tells after another has begun is of no interest, but its success; nor is what a worker
-- says instead of a run, of a run that is another's, or of a copy that it would not begin.
local function is_outdated()
  if set.state == 'SUCCEEDED' then return false end
  if change.attempt then return change.attempt ~= tonumber(record.attempt) end
  if record.state ~= 'RUNNING' then return false end
  local is_live = record.lease and tonumber(record.lease) > now_ms
  return (set.worker and record.worker ~= set.worker) or (change.is_unbegun and is_live)
end

local function send_all(pushes)
  for i, push in ipairs(pushes) do
    local follower = record_of(push.task_id)
    if follower.state == 'WAITING' then
      redis.call('HDEL', signatures_key(follower.root), push.task_id)
      move(push.task_id, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE')
    end
    if not FINAL[follower.state] then send(push, ARGV[i + 2]) end  -- it may have been canceled
  end
end

-- Told of by somebody who only has the id, as `celery control revoke` does: of a workflow, which no
-- worker runs, or of what was never accepted.
if is_workflow(id) or (not record.state and not change.adopt) then
  store_result(id, ARGV[2])
  return {1}
end

if record.state and FINAL[record.state] then
  -- Celery marks each later step of a failed chain; keep that for its callers, once.
  if FINAL[set.state] and redis.call('EXISTS', meta_key(id)) == 0 then store_result(id, ARGV[2]) end
  return {0}
end

if change.start then
  if change.start == record.start then  -- its answer was lost
    return {1, record.attempt, record.max_attempts or ''}
  end
  -- A message from before a retry, whose own message is on its way.
  if change.replaced == 0 and change.retries < tonumber(record.retries or 0) then return {0} end
  if has_live_run() then return {3, record.lease} end
  local state, message = refused_start()
  if state then
    end_unrun(id, state, message)
    conclude(id)
    return {0}
  end
elseif is_outdated() then
  return {0}
elseif record.told == change.told and set.state == 'RETRYING' then  -- its answer was lost
  return {1}
end

if record.feeds and set.state == 'SUCCEEDED' then
  local workflow, missing = workflow_key(record.root), 'missing:' .. record.feeds
  if redis.call('HGET', workflow, missing) == '1' and not change.is_released then
    local join = redis.call('HGET', workflow, 'join:' .. record.feeds)
    local targets = cjson.decode(join).targets
    return {2, join, redis.call('HMGET', signatures_key(record.root), unpack(targets))}
  end
  redis.call('HINCRBY', workflow, missing, -1)
end

if record.terminate and set.state == 'RETRYING' then  -- canceled: there is no other attempt
  end_unrun(id, 'CANCELED', 'canceled')
  conclude(id)
  return {1}
end

store_result(id, ARGV[2])
if not record.state then adopt() end
-- Of a plain caller's task, and of a step that was handed a value, the input is known only now.
if change.input and (record.root ~= id or not record.cursor) then
  redis.call('SET', input_key(id), change.input)
end
local kind = set.progress and record.state == 'RUNNING' and 'PROGRESS' or 'STATE'
if change.start then
  begin()
  if change.replaced > 0 then set.replaced = as_text(change.replaced) end
  forget(id, 'failure', 'progress')  -- those of the attempt before
end
if set.state ~= 'RUNNING' then forget(id, 'lease') end
-- Without an attempt it is not the run that says so, but its worker, which gives the message back.
if set.state == 'RETRYING' and change.attempt then
  set.retries, set.told = as_text(change.retries + 1), change.told
end
if FINAL[set.state] then
  set.finished_at = now
  drop_waiting(id)
end
move(id, set, kind)
-- What a task's end sets off leaves in the same instant as the end itself.
send_all(change.pushes)
if FINAL[set.state] then
  conclude(id)
elseif record.root ~= id then
  settle(record.root)
end
return {1, record.attempt, record.max_attempts or ''}
