-- Cancel what has not finished of a task or workflow.
-- The request names the `id`, and whether to `terminate` what runs.
-- Returns 0 where there is no such task; 1 and its record (JSON) where it has already ended; else 2,
-- its record, how many were canceled or told to stop, and the ids of those that go on running.

local id = request.id
local record = record_of(id)
if not record.state then return {0} end
if FINAL[record.state] then return {1, told(id)} end

-- Only a pool of processes can be stopped; its worker looks for what it is to stop.
local function stop(task)
  local worker = record_of(task).worker
  if not request.terminate or not worker then return false end
  if redis.call('HGET', 'celeryql:worker:' .. worker, 'pool') ~= 'prefork' then return false end
  save(task, {terminate = '1'})
  redis.call('SADD', 'celeryql:terminate:' .. worker, task)
  redis.call('EXPIRE', 'celeryql:terminate:' .. worker, limits.ttl_s)
  return true
end

local canceled, running = end_waiting(id, 'CANCELED', 'canceled'), {}
for _, task in ipairs(tasks_of(id)) do
  if record_of(task).state == 'RUNNING' then
    if stop(task) then canceled = canceled + 1 else running[#running + 1] = task end
  end
end
if is_workflow(id) or FINAL[record.state] then conclude(id) end
return {2, told(id), canceled, unpack(running)}
