-- One call of a function: its time, its limits, and what it has read so far.
--
-- Every function and most modules' functions take a transaction `tx` as their first argument. The
-- library stays loaded between calls, so modules must not keep per-call state in module variables.
-- The fields of a transaction:
--   now_us, now_ms: the time in Redis since 1970; `now` is `now_ms` as text.
--   limits: the caller's settings; nil where a function needs none.
--   records, counts: caches of `records.lua` and `workflows.lua`.

local transaction = {}

-- Write a whole number without an exponent, as Redis and Python expect it.
function transaction.as_text(number) return string.format('%.0f', number) end

function transaction.begin(limits)
  local time = redis.call('TIME')
  local now_us = time[1] * 1000000 + time[2]
  local now_ms = math.floor(now_us / 1000)
  return {now_us = now_us, now_ms = now_ms, now = transaction.as_text(now_ms),
          limits = limits, records = {}, counts = {}}
end

-- A time before now in seconds, the unit in which kombu scores the messages that workers hold.
function transaction.seconds_ago(tx, seconds)
  return string.format('%.6f', tx.now_us / 1000000 - seconds)
end

return transaction
