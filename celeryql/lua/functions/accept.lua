-- Accept requests, each whole or not at all: records, inputs, events, listings and messages.
--
-- Arguments: a call (JSON) with the `requests`, their `owner`, and the owner's limits
-- (`enqueue_rate` a second, `enqueue_burst`, `max_waiting` messages in a queue, and how many tasks
-- were `refused` before this call); then for each request the payloads of its pushes, and the
-- results that a retry takes over.
-- Returns the cursor of the last event before this call, for how many milliseconds the owner must
-- wait because of refused tasks, then for each request a code and what belongs to it:
--   0: accepted; the task's id, its record (JSON).
--   1: its idempotency key was used for the same input; the earlier task's id and record.
--   2: its idempotency key was used for another input; the earlier task's id and record.
--   3: throttled; `queue` or `rate`, for how many milliseconds to wait.
--   4: it would expire before it may start.

local changes = require('changes')
local keys = require('keys')
local listings = require('listings')
local outbox = require('outbox')
local records = require('records')
local states = require('states')
local transaction = require('transaction')
local workflows = require('workflows')
local as_text = transaction.as_text

local ACCEPTED, SEEN, SEEN_WITH_OTHER_INPUT, THROTTLED, STARTS_TOO_LATE = 0, 1, 2, 3, 4
local QUEUE_WAIT_MS = 5000  -- a guess: nothing tells how fast a queue gets shorter

-- Rate limit per owner (GCRA): each task that is accepted, or was refused before, moves the owner's
-- next free time forward. A throttled request does not move it.
local function read_rate(tx, owner, per_second, burst)
  local taken_ms = math.max(tonumber(redis.call('GET', keys.rate(owner)) or 0), tx.now_ms)
  return {owner = owner, per_task_ms = 1000 / per_second, burst = burst,
          taken_before_ms = taken_ms, taken_until_ms = taken_ms}
end

-- Take places for some tasks. Returns for how many milliseconds to wait; 0 if they fit in.
local function take_places(tx, rate, tasks)
  local until_ms = rate.taken_until_ms + tasks * rate.per_task_ms
  local wait_ms = until_ms - tx.now_ms - rate.burst * rate.per_task_ms
  if wait_ms > 0 and rate.taken_until_ms > tx.now_ms then
    return math.ceil(math.min(wait_ms, rate.taken_until_ms - tx.now_ms))
  end
  rate.taken_until_ms = until_ms
  return 0
end

local function write_rate(tx, rate)
  if rate.taken_until_ms == rate.taken_before_ms then return end
  local kept_ms = math.max(1, math.ceil(rate.taken_until_ms - tx.now_ms))
  redis.call('SET', keys.rate(rate.owner), string.format('%.3f', rate.taken_until_ms),
             'PX', as_text(kept_ms))
end

-- Where a push goes: the list of its queue, or the messages that are due later.
local function place_of(push) return push.due_ms and keys.SCHEDULED or push.queue_list end

-- Get how many messages wait where a push goes. `batch.waiting` caches the numbers by place.
local function waiting_with(batch, push)
  local place = place_of(push)
  if not batch.waiting[place] then
    batch.waiting[place] = redis.call(push.due_ms and 'ZCARD' or 'LLEN', place)
  end
  return batch.waiting[place]
end

-- Return the answer to a throttled request; nil if its queues and its owner's rate have room.
local function check_limits(tx, batch, request)
  for _, push in ipairs(request.pushes) do
    if waiting_with(batch, push) >= batch.max_waiting then
      return {THROTTLED, 'queue', QUEUE_WAIT_MS}
    end
  end
  local wait_ms = take_places(tx, batch.rate, #request.records)
  return wait_ms > 0 and {THROTTLED, 'rate', wait_ms} or nil
end

-- Turn the request's spans of time into times by the clock of Redis, and set when its pushes are
-- due. Returns `scheduled_for` and `expires_at` as text, and `starts_too_late`.
local function resolve_times(tx, request)
  local times, due_ms = {}, request.start_at_ms
  if request.start_in_ms then due_ms = tx.now_ms + request.start_in_ms end
  if due_ms and due_ms <= tx.now_ms then due_ms = nil end
  if due_ms then times.scheduled_for = as_text(due_ms) end
  if request.expires_in_ms then
    local expires_ms = tx.now_ms + request.expires_in_ms
    times.expires_at = as_text(expires_ms)
    times.starts_too_late = due_ms ~= nil and due_ms >= expires_ms
  end
  for _, push in ipairs(request.pushes) do push.due_ms = due_ms end
  return times
end

-- Add the fields that only Redis knows to the request's records. They are the transaction's records
-- from now on: nothing of them is stored yet.
local function begin_records(tx, owner, request, times)
  for _, new in ipairs(request.records) do
    local fields = new.fields
    fields.owner, fields.created_at = owner, tx.now
    if fields.state == 'QUEUED' and times.scheduled_for then
      fields.state, fields.scheduled_for = 'SCHEDULED', times.scheduled_for
    end
    fields.celery_state = states.CELERY[fields.state]
    tx.records[new.id] = fields
  end
  request.records[1].fields.expires_at = times.expires_at
end

local function write_all(key, fields)
  for field, value in pairs(fields) do redis.call('HSET', key, field, value) end
end

-- Write a workflow's graph. Its steps are counted before their first events, because each event
-- has the counts of all.
local function begin_workflow(tx, id, request)
  write_all(keys.workflow(id), request.workflow.fields)
  write_all(keys.signatures(id), request.workflow.signatures)
  local counts = {}
  for i = 2, #request.records do
    local state = request.records[i].fields.state
    counts[state] = (counts[state] or 0) + 1
  end
  for state, n in pairs(counts) do workflows.count(tx, id, state, n) end
  for field, value in pairs(workflows.derived_changes(tx, id)) do
    request.records[1].fields[field] = value
  end
end

-- Write everything of one request.
local function write_request(tx, batch, request, times)
  local id = request.records[1].id
  begin_records(tx, batch.owner, request, times)
  if request.workflow then begin_workflow(tx, id, request) end
  for _, new in ipairs(request.records) do
    if new.input then redis.call('SET', keys.input(new.id), new.input) end
    changes.apply(tx, new.id, new.fields, 'STATE')
    batch.accepted[#batch.accepted + 1] = new.id
  end
  for _, push in ipairs(request.pushes) do
    outbox.send(tx, push, push.payload)
    batch.waiting[place_of(push)] = waiting_with(batch, push) + 1
  end
  for id, result in pairs(request.results) do redis.call('SET', keys.result(id), result) end
  if times.expires_at then redis.call('ZADD', keys.EXPIRING, times.expires_at, id) end
end

-- Reserve the idempotency key of an accepted task; the record's field `claim` holds its name. The
-- key gets its time to live with the record.
local function reserve_key(tx, reserved_key, request)
  local id = request.records[1].id
  redis.call('HSET', reserved_key, 'task', id, 'digest', request.digest)
  records.save(tx, id, {claim = reserved_key})
end

-- Return the answer to a request whose idempotency key was used before; nil if it was not.
local function find_duplicate(tx, reserved_key, request)
  local task, digest = unpack(redis.call('HMGET', reserved_key, 'task', 'digest'))
  if not task or not records.get(tx, task).state then return nil end
  local code = digest == request.digest and SEEN or SEEN_WITH_OTHER_INPUT
  return {code, task, records.to_json(tx, task)}
end

local function find_refusal(tx, batch, request, times, reserved_key)
  return reserved_key and find_duplicate(tx, reserved_key, request)
         or times.starts_too_late and {STARTS_TOO_LATE, '', ''}
         or check_limits(tx, batch, request)
end

local function process_request(tx, batch, request)
  local reserved_key = request.idempotency_key
                       and keys.idempotency(batch.owner, request.idempotency_key)
  local times = resolve_times(tx, request)
  local refusal = find_refusal(tx, batch, request, times, reserved_key)
  if refusal then return refusal end
  local id = request.records[1].id
  write_request(tx, batch, request, times)
  if reserved_key then reserve_key(tx, reserved_key, request) end
  return {ACCEPTED, id, records.to_json(tx, id)}
end

local function last_cursor()
  local last = redis.call('XREVRANGE', keys.EVENTS, '+', '-', 'COUNT', 1)[1]
  return last and last[1] or '0-0'
end

-- Add its payload to each push, and to each request the `results` of its reused steps, by id.
local function add_arguments(requests, args)
  local next_argument = 2
  local function take()
    next_argument = next_argument + 1
    return args[next_argument - 1]
  end
  for _, request in ipairs(requests) do
    for _, push in ipairs(request.pushes) do push.payload = take() end
    request.results = {}
    for _, id in ipairs(request.reused) do request.results[id] = take() end
  end
end

-- What the requests of a call share: the owner's limits, how many messages wait in each place, and
-- the ids that were accepted.
local function begin_batch(tx, call)
  return {owner = call.owner, max_waiting = call.max_waiting, waiting = {}, accepted = {},
          rate = read_rate(tx, call.owner, call.enqueue_rate, call.enqueue_burst)}
end

return function(_, args)
  local call = cjson.decode(args[1])
  local tx = transaction.begin(call.limits)
  local batch = begin_batch(tx, call)
  add_arguments(call.requests, args)

  -- Refused tasks take their places first: checking them took the most time.
  local refused_wait_ms = call.refused > 0 and take_places(tx, batch.rate, call.refused) or 0
  local answers = {last_cursor(), refused_wait_ms}
  for _, request in ipairs(call.requests) do
    answers[#answers + 1] = process_request(tx, batch, request)
  end
  write_rate(tx, batch.rate)
  if #batch.accepted > 0 then
    listings.add(tx, batch.accepted, keys.TASKS, keys.tasks_of(batch.owner))
  end
  return answers
end
