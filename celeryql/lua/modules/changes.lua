-- One change of one record, with its event and the counts of its workflow.

local durations = require('durations')
local events = require('events')
local records = require('records')
local workflows = require('workflows')
local as_text = require('transaction').as_text

-- The fields that can change after a task was accepted. Every event carries all of them.
local MUTABLE = {'state', 'celery_state', 'version', 'attempt', 'worker', 'progress', 'failure',
                 'started_at', 'finished_at'}

local changes = {}

local function next_version(record) return as_text((record.version or 0) + 1) end

local function mutable_fields(record)
  local fields = {}
  for _, field in ipairs(MUTABLE) do fields[field] = record[field] end
  return fields
end

-- Describe a workflow as of this event, without its steps.
local function workflow_summary(tx, root)
  local summary = mutable_fields(records.get(tx, root))
  for field, value in pairs(workflows.derived_changes(tx, root)) do summary[field] = value end
  summary.counts = workflows.counts_as_text(tx, root)
  return summary
end

-- Update the workflow of a step that has changed, and return its summary.
local function update_workflow(tx, root, step)
  local record = records.get(tx, root)
  if step.state == 'FAILED' and not record.failure then
    records.save(tx, root, {failure = step.failure})  -- a workflow shows its first failure
  end
  record.version = next_version(record)
  return workflow_summary(tx, root)
end

local function count_step(tx, root, before, after)
  if not after or after == before then return end
  if before then workflows.count(tx, root, before, -1) end
  workflows.count(tx, root, after, 1)
end

-- Change a task and append the event of the change.
-- `fields` are the new values of its record; version and cursor are added. `events.lua` says what
-- `kind` is.
function changes.apply(tx, id, fields, kind)
  local record = records.get(tx, id)
  local root = fields.root or record.root
  local is_step = root ~= id
  if is_step then count_step(tx, root, record.state, fields.state) end
  durations.count(tx, record, fields.state)
  fields.version = next_version(record)
  for field, value in pairs(fields) do record[field] = value end
  local event = mutable_fields(record)
  event.id, event.kind, event.at = id, kind, tx.now
  if is_step then event.workflow = update_workflow(tx, root, record) end
  fields.cursor = events.append(tx, id, root, kind, event)
  records.save(tx, id, fields)
  if is_step then
    records.save(tx, root, {version = records.get(tx, root).version, cursor = fields.cursor})
  end
end

return changes
