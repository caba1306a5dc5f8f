-- Cancel what has not finished of a task or workflow.
--
-- Argument: a request (JSON) with the `id`, and whether to `terminate` what runs.
-- Returns a code, and what belongs to it:
--   0: there is no such task.
--   1: it has already ended; its record (JSON).
--   2: canceled; its record, how many tasks were canceled or asked to stop, and the ids of tasks
--      that continue to run.

local endings = require('endings')
local keys = require('keys')
local records = require('records')
local transaction = require('transaction')
local workflows = require('workflows')
local FINAL = require('states').FINAL

local NO_SUCH, HAS_ENDED, CANCELED = 0, 1, 2

-- Ask the worker to terminate a task's run. Only a pool of processes can do that; its worker looks
-- for such requests.
local function terminate(tx, id)
  local worker = records.get(tx, id).worker
  if not worker or redis.call('HGET', keys.worker(worker), 'pool') ~= 'prefork' then
    return false
  end
  records.save(tx, id, {terminate = '1'})
  redis.call('SADD', keys.terminate(worker), id)
  redis.call('EXPIRE', keys.terminate(worker), tx.limits.ttl_s)
  return true
end

return function(_, args)
  local request = cjson.decode(args[1])
  local tx, id = transaction.begin(request.limits), request.id
  local record = records.get(tx, id)
  if not record.state then return {NO_SUCH} end
  if FINAL[record.state] then return {HAS_ENDED, records.to_json(tx, id)} end

  local canceled, running = endings.end_waiting(tx, id, 'CANCELED', 'canceled'), {}
  for _, task in ipairs(workflows.tasks_of(tx, id)) do
    if records.get(tx, task).state == 'RUNNING' then
      if request.terminate and terminate(tx, task) then
        canceled = canceled + 1
      else
        running[#running + 1] = task
      end
    end
  end
  if workflows.is_workflow(tx, id) or FINAL[record.state] then endings.conclude(tx, id) end
  return {CANCELED, records.to_json(tx, id), canceled, unpack(running)}
end
