-- Send what is due and end what is late, for all processes: the first to call does it.
-- Returns how many more may be due.

local AT_ONCE = 200  -- keeps Redis busy for a few milliseconds at most
if not redis.call('SET', 'celeryql:sweep', '1', 'NX', 'PX', limits.pause_ms) then return 0 end

local function upto_now(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, AT_ONCE)
end

local due = upto_now('celeryql:scheduled')
for _, id in ipairs(due) do
  local push = cjson.decode(redis.call('HGET', 'celeryql:scheduled_messages', id))
  drop_held(id)
  local state = record_of(id).state
  if not state or not FINAL[state] then redis.call('LPUSH', push.queue_list, push.payload) end
  if state == 'SCHEDULED' then
    move(id, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE')
    if record_of(id).root ~= id then settle(record_of(id).root) end
  end
end

local late = upto_now('celeryql:expiring')
for _, root in ipairs(late) do
  redis.call('ZREM', 'celeryql:expiring', root)
  local record = record_of(root)
  if record.state and not FINAL[record.state] and not record.started_at then
    local is_workflow = redis.call('EXISTS', workflow_key(root)) == 1
    for _, id in ipairs(is_workflow and step_ids(root) or {root}) do
      if not FINAL[record_of(id).state] then end_unrun(id, 'EXPIRED', 'expired') end
    end
    if is_workflow then settle(root) else conclude(root) end
  end
end

if #due < AT_ONCE and #late < AT_ONCE then return 0 end
redis.call('DEL', 'celeryql:sweep')
return 1
