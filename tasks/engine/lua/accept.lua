-- Accept tasks: records, inputs, events, listing and messages, all or nothing.
-- ARGV: the plan (JSON), then one payload for each of its pushes.
-- Returns a code, a task id and its record: 0 where all is accepted, 1 where the idempotency key
-- was seen with this input, 2 where it was seen with another.

-- Take what has passed retention out of a listing: a few members at random each time, so that it
-- holds at most a third more than what is kept, at a bounded cost.
local function forget_some(key)
  for _, id in ipairs(redis.call('ZRANDMEMBER', key, -4)) do
    if redis.call('EXISTS', task_key(id)) == 0 then redis.call('ZREM', key, id) end
  end
end

local plan = cjson.decode(ARGV[1])
local kept = plan.events_kept
local owner = plan.owner

local claim
if plan.idempotency_key ~= cjson.null then
  -- The length keeps `a` with the key `b:c` apart from `a:b` with the key `c`.
  claim = 'celeryql:idempotency:' .. #owner .. ':' .. owner .. ':' .. plan.idempotency_key
  local seen = redis.call('HMGET', claim, 'task', 'digest')
  local record = seen[1] and redis.call('HGETALL', task_key(seen[1])) or {}
  if #record > 0 then return {seen[2] == plan.digest and 1 or 2, seen[1], record} end
end

if plan.workflow ~= cjson.null then
  redis.call('HSET', workflow_key(plan.workflow.id), unpack(plan.workflow.fields))
end
local score = clock[1] * 1000000 + clock[2]
for i, record in ipairs(plan.records) do
  redis.call('HSET', task_key(record.id), 'created_at', now, 'owner', owner,
             unpack(record.fields))
  if record.input ~= cjson.null then redis.call('SET', input_key(record.id), record.input) end
  -- Ones accepted together are listed in the order they were given, newest first.
  local member_score = string.format('%.0f', score + i - 1)
  redis.call('ZADD', 'celeryql:tasks', member_score, record.id)
  redis.call('ZADD', 'celeryql:tasks:' .. owner, member_score, record.id)
end
for _, key in ipairs({'celeryql:tasks', 'celeryql:tasks:' .. owner}) do forget_some(key) end
for _, record in ipairs(plan.records) do emit(record.id, 'STATE', kept) end
for i, push in ipairs(plan.pushes) do redis.call('LPUSH', push, ARGV[i + 1]) end
if claim then
  -- It lives as long as the record, whose time begins when the task has ended.
  redis.call('HSET', claim, 'task', plan.records[1].id, 'digest', plan.digest)
  redis.call('HSET', task_key(plan.records[1].id), 'claim', claim)
end
return {0, plan.records[1].id, redis.call('HGETALL', task_key(plan.records[1].id))}
