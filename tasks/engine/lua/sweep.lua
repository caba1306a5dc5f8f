-- Send what is due and end what is late, for all processes: the first to call does it.
-- Returns 1 where there may be more to do at once, else 0.

local AT_ONCE = 200  -- keeps Redis busy for some milliseconds; one workflow may take it beyond
if not redis.call('SET', 'celeryql:sweep', '1', 'NX', 'PX', limits.sweep_lock_ms) then return 0 end

local function upto_now(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, AT_ONCE)
end

local function send_held(id)
  local held = redis.call('HGET', 'celeryql:scheduled_messages', id)
  drop_held(id)
  local state = record_of(id).state
  if not held or (state and FINAL[state]) then return end
  local push = cjson.decode(held)
  redis.call('LPUSH', push.queue_list, push.payload)
  if state == 'SCHEDULED' then
    move(id, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE')
    if record_of(id).root ~= id then settle(record_of(id).root) end
  end
end

-- Returns how many tasks have ended.
local function expire(root)
  redis.call('ZREM', 'celeryql:expiring', root)
  local record, ended = record_of(root), 0
  if not record.state or FINAL[record.state] or record.started_at then return 0 end
  for _, id in ipairs(tasks_of(root)) do
    if not FINAL[record_of(id).state] then
      end_unrun(id, 'EXPIRED', 'expired')
      ended = ended + 1
    end
  end
  conclude(root)
  return ended
end

local due = upto_now('celeryql:scheduled')
for _, id in ipairs(due) do send_held(id) end

local late, ended = upto_now('celeryql:expiring'), 0
for _, root in ipairs(late) do
  if ended < AT_ONCE then ended = ended + expire(root) end
end

if #due < AT_ONCE and #late < AT_ONCE and ended < AT_ONCE then return 0 end
redis.call('DEL', 'celeryql:sweep')
return 1
