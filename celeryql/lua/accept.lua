-- Accept requests, each whole or not at all: records, inputs, events, listing and messages.
-- ARGV: the requests, then of each the payloads of its pushes and the metas that a retry takes over.
-- Returns how far the stream of events was before, for how many milliseconds the owner has to wait
-- because of input that was refused before, then for each request a code, a task id and its record
-- (JSON): 0 where it is accepted, 1 where the idempotency key was seen with this input, 2
-- where it was seen with another. Where there is too much already: 3, why, and for how many
-- milliseconds. Where it would expire before it may start: 4.

local QUEUE_WAIT_MS = 5000  -- how fast a queue gets shorter is not known

local owner = request.owner
local argument = 1
local function next_argument()
  argument = argument + 1
  return ARGV[argument]
end

local function claim_of(asked)
  if not asked.idempotency_key then return nil end
  -- The length keeps `a` with the key `b:c` apart from `a:b` with the key `c`.
  return 'celeryql:idempotency:' .. #owner .. ':' .. owner .. ':' .. asked.idempotency_key
end

-- Add what only Redis knows to a new record.
local function complete(new, times)
  local fields = new.fields
  fields.owner, fields.created_at = owner, now
  if fields.state == 'QUEUED' and times.scheduled_for then
    fields.state, fields.scheduled_for = 'SCHEDULED', times.scheduled_for
  end
  fields.celery_state = CELERY_STATES[fields.state]
end

local function times_of(asked)
  local times, due_ms = {}, asked.start_at_ms
  if asked.start_in_ms then due_ms = now_ms + asked.start_in_ms end
  if due_ms and due_ms > now_ms then
    times.due_ms, times.scheduled_for = due_ms, as_text(due_ms)
  end
  if asked.expires_in_ms then
    local expires_ms = now_ms + asked.expires_in_ms
    times.expires_at = as_text(expires_ms)
    times.start_too_late = times.due_ms ~= nil and times.due_ms >= expires_ms
  end
  for _, push in ipairs(asked.pushes) do push.due_ms = times.due_ms end
  return times
end

-- Write the graph, and count the steps before the first event, for each tells of them all.
local function begin_workflow(id, asked)
  for field, value in pairs(asked.workflow.fields) do
    redis.call('HSET', workflow_key(id), field, value)
  end
  for step, signature in pairs(asked.workflow.signatures) do
    redis.call('HSET', signatures_key(id), step, signature)
  end
  local tally = {}
  for i = 2, #asked.records do
    local state = asked.records[i].fields.state
    tally[state] = (tally[state] or 0) + 1
  end
  for state, n in pairs(tally) do count(id, state, n) end
  for field, value in pairs(derived_changes(id)) do asked.records[1].fields[field] = value end
end

local SCHEDULED = 'celeryql:scheduled'
local waiting = {}  -- messages where others go, by place; read once
local accepted = {}

local function place_of(push) return push.due_ms and SCHEDULED or push.queue_list end

local function waiting_with(push)
  local place = place_of(push)
  waiting[place] = waiting[place] or redis.call(push.due_ms and 'ZCARD' or 'LLEN', place)
  return waiting[place]
end

local function accept(asked, times)
  local id = asked.records[1].id
  for _, new in ipairs(asked.records) do
    complete(new, times)
    -- Nothing is kept of it yet; and as it has its state, a step is not counted as it is written.
    records[new.id] = new.fields
  end
  asked.records[1].fields.expires_at = times.expires_at
  if asked.workflow then begin_workflow(id, asked) end
  for _, new in ipairs(asked.records) do
    if new.input then redis.call('SET', input_key(new.id), new.input) end
    move(new.id, new.fields, 'STATE')
    accepted[#accepted + 1] = new.id
  end
  for _, push in ipairs(asked.pushes) do
    send(push, next_argument())
    waiting[place_of(push)] = waiting_with(push) + 1
  end
  for _, step in ipairs(asked.reused) do redis.call('SET', meta_key(step), next_argument()) end
  if times.expires_at then redis.call('ZADD', 'celeryql:expiring', times.expires_at, id) end
  return id
end

-- Tell for how long an owner has to wait. Each task takes its place in time, one behind the other
-- (the generic cell rate algorithm); what fits in is noted, so that a refused request costs nothing.
local rate_key, per_task_ms = 'celeryql:rate:' .. owner, 1000 / request.enqueue_rate
local taken_before = math.max(tonumber(redis.call('GET', rate_key) or 0), now_ms)
local taken_until = taken_before

local function wait_for_rate(tasks)
  local until_ms = taken_until + tasks * per_task_ms
  local wait_ms = until_ms - now_ms - request.enqueue_burst * per_task_ms
  if wait_ms > 0 and taken_until > now_ms then return math.min(wait_ms, taken_until - now_ms) end
  taken_until = until_ms
  return 0
end

local function note_rate()
  if taken_until == taken_before then return end
  local kept_ms = math.max(1, math.ceil(taken_until - now_ms))
  redis.call('SET', rate_key, string.format('%.3f', taken_until), 'PX', as_text(kept_ms))
end

-- Tell why and for how long to wait, if there is too much already.
local function throttled(asked)
  for _, push in ipairs(asked.pushes) do
    if waiting_with(push) >= request.max_waiting then return {3, 'queue', QUEUE_WAIT_MS} end
  end
  local wait_ms = wait_for_rate(#asked.records)
  return wait_ms > 0 and {3, 'rate', math.ceil(wait_ms)}
end

local before = redis.call('XREVRANGE', 'celeryql:events', '+', '-', 'COUNT', 1)
-- What was refused before it came here takes its places first: to check it took the most time.
local refused_wait_ms = request.refused > 0 and math.ceil(wait_for_rate(request.refused)) or 0
local answers = {before[1] and before[1][1] or '0-0', refused_wait_ms}
for _, asked in ipairs(request.requests) do
  local claim = claim_of(asked)
  local seen = claim and redis.call('HMGET', claim, 'task', 'digest')
  local answer, times = nil, times_of(asked)
  if seen and seen[1] and record_of(seen[1]).state then
    answer = {seen[2] == asked.digest and 1 or 2, seen[1]}
  else
    answer = times.start_too_late and {4, '', ''} or throttled(asked)
  end
  if answer then
    argument = argument + #asked.pushes + #asked.reused
  else
    local id = accept(asked, times)
    answer = {0, id}
    if claim then
      -- It lives as long as the record, whose time begins when the task has ended.
      redis.call('HSET', claim, 'task', id, 'digest', asked.digest)
      save(id, {claim = claim})
    end
  end
  if answer[1] < 3 then answer[3] = told(answer[2]) end
  answers[#answers + 1] = answer
end
note_rate()
if #accepted > 0 then list_all(accepted, {'celeryql:tasks', 'celeryql:tasks:' .. owner}) end
return answers
