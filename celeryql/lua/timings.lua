-- Shared by the scripts that write records: how long tasks wait and run, counted by definition.
-- A duration is counted in the first bucket that it fits into; `timings.py` knows the same bounds.

local BOUNDS_MS = {5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000,
                   1800000, 7200000}

local function bucket_of(ms)
  for _, bound in ipairs(BOUNDS_MS) do
    if ms <= bound then return as_text(bound) end
  end
  return 'inf'
end

local function count_duration(definition, what, since_ms)
  local key, ms = 'celeryql:timings:' .. definition, math.max(0, now_ms - since_ms)
  redis.call('HINCRBY', key, what .. ':' .. bucket_of(ms), 1)
  redis.call('HINCRBY', key, what .. ':sum_ms', as_text(ms))
end

-- Count what ends with a change of state. What waited has had no event since it was queued; a task
-- that is tried again, or a plain caller's, has not been queued at a time that is known.
local function count_durations(record, state)
  if not record.definition or not state then return end
  local queued_ms = record.state == 'QUEUED' and state == 'RUNNING' and record.cursor
                    and string.match(record.cursor, '^%d+')
  if queued_ms and record.definition ~= 'workflow' then
    count_duration(record.definition, 'wait', queued_ms)
  elseif record.state == 'RUNNING' and state ~= 'RUNNING' then
    count_duration(record.definition, 'run', record.began_at or record.started_at or now_ms)
  end
end
