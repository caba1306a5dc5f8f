-- Workflows: their steps, how many steps are in which state, and what state that gives the whole.

local keys = require('keys')
local records = require('records')
local states = require('states')
local as_text = require('transaction').as_text

local workflows = {}

function workflows.is_workflow(tx, id) return records.get(tx, id).definition == 'workflow' end

-- List the ids of a root's tasks: the steps of a workflow, or the task itself.
function workflows.tasks_of(tx, root)
  if not workflows.is_workflow(tx, root) then return {root} end
  local ids = {}
  for i, step in ipairs(cjson.decode(redis.call('HGET', keys.workflow(root), 'steps'))) do
    ids[i] = step.id
  end
  return ids
end

-- Read a join: the steps that start (`targets`) and the `value` that they get once the steps before
-- have ended.
function workflows.join_json(root, number)
  return redis.call('HGET', keys.workflow(root), 'join:' .. number)
end

-- Read the counts of a workflow's steps by state, once a call.
-- `total` counts all steps, `reused` those whose result a retry took over.
local function counts_of(tx, root)
  if not tx.counts[root] then
    local names = {'total', 'reused', unpack(states.ALL)}
    local values = redis.call('HMGET', keys.workflow(root), unpack(names))
    tx.counts[root] = {}
    for i, name in ipairs(names) do tx.counts[root][name] = tonumber(values[i] or 0) end
  end
  return tx.counts[root]
end

-- Add to the count of one state.
function workflows.count(tx, root, state, difference)
  local counts = counts_of(tx, root)
  counts[state] = counts[state] + difference
  redis.call('HINCRBY', keys.workflow(root), state, difference)
end

-- Return the counts above zero as text, for an event.
function workflows.counts_as_text(tx, root)
  local counts = counts_of(tx, root)
  local shown = {total = as_text(counts.total)}
  for _, state in ipairs(states.ALL) do
    if counts[state] > 0 then shown[state] = as_text(counts[state]) end
  end
  return shown
end

local function final_state(n)
  for _, state in ipairs({'FAILED', 'CANCELED', 'EXPIRED'}) do
    if n[state] > 0 then return state end
  end
  return 'SUCCEEDED'
end

local function derived_state(tx, root)
  local n, ended = counts_of(tx, root), 0
  for state in pairs(states.FINAL) do ended = ended + n[state] end
  if ended == n.total then return final_state(n) end
  -- Steps that a retry took over had succeeded before this workflow began.
  local begun = n.RUNNING + n.RETRYING + n.FAILED + n.SUCCEEDED - n.reused
  if begun > 0 or records.get(tx, root).started_at then return 'RUNNING' end
  return n.QUEUED == 0 and n.SCHEDULED > 0 and 'SCHEDULED' or 'QUEUED'
end

-- Return the fields of a workflow's record that follow from the states of its steps.
function workflows.derived_changes(tx, root)
  local record, state = records.get(tx, root), derived_state(tx, root)
  local fields = {state = state, celery_state = states.CELERY[state]}
  if state == 'RUNNING' and not record.started_at then fields.started_at = tx.now end
  if states.FINAL[state] then fields.finished_at = record.finished_at or tx.now end
  return fields
end

return workflows
