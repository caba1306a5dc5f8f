-- How long tasks wait and run: counters for each definition, in buckets as Prometheus has them.
-- A duration is counted in the first bucket that it fits into.

local keys = require('keys')
local as_text = require('transaction').as_text

-- Python has the same bounds, where it reads the counters.
local BOUNDS_MS = {5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000,
                   1800000, 7200000}

local durations = {}

local function bucket_of(ms)
  for _, bound in ipairs(BOUNDS_MS) do
    if ms <= bound then return as_text(bound) end
  end
  return 'inf'
end

local function add(tx, definition, what, since_ms)
  local key, ms = keys.durations(definition), math.max(0, tx.now_ms - since_ms)
  redis.call('HINCRBY', key, what .. ':' .. bucket_of(ms), 1)
  redis.call('HINCRBY', key, what .. ':sum_ms', as_text(ms))
end

-- Count the wait or the run that ends when `record` changes to `state` (nil: it keeps its state).
-- The cursor of a task that waits is that of the event that queued it. Waits of retries and of
-- tasks from plain Celery callers are not counted: when they were queued is unknown.
function durations.count(tx, record, state)
  if not record.definition or not state then return end
  local queued_ms = record.state == 'QUEUED' and state == 'RUNNING' and record.cursor
                    and string.match(record.cursor, '^%d+')
  if queued_ms and record.definition ~= 'workflow' then
    add(tx, record.definition, 'wait', queued_ms)
  elseif record.state == 'RUNNING' and state ~= 'RUNNING' then
    add(tx, record.definition, 'run', record.began_at or record.started_at or tx.now_ms)
  end
end

return durations
