-- Send what is due, end what is late, and push what is lost once more, for all processes: the first
-- to call does it.
-- Returns 1 where there may be more to do at once, else 0.

local LOST_AFTER_MS = 2000
local AT_ONCE = 200  -- keeps Redis busy for some milliseconds; one workflow may take it beyond
if not redis.call('SET', 'celeryql:sweep', '1', 'NX', 'PX', limits.sweep_lock_ms) then return 0 end

local is_grace = is_after_outage(limits.lease_ms)

local function upto_now(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, AT_ONCE)
end

local function send_held(id)
  local held = redis.call('HGET', 'celeryql:scheduled_messages', id)
  local state = record_of(id).state
  if state == 'RUNNING' and is_grace then  -- its worker may be about to renew its lease
    redis.call('ZADD', 'celeryql:scheduled', as_text(now_ms + limits.lease_ms), id)
    return
  end
  drop_held(id)
  if not held or (state and FINAL[state]) then return end
  local push = cjson.decode(held)
  -- What runs is by now without its worker, and has waited in the queue before.
  local push_again = state == 'RUNNING' and push_first or push_last
  push_again(push.queue_list, push.tag, push.payload)
  if state == 'SCHEDULED' then
    move(id, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE')
    if record_of(id).root ~= id then settle(record_of(id).root) end
  end
end

-- Returns how many tasks have ended.
local function expire(root)
  redis.call('ZREM', 'celeryql:expiring', root)
  local record = record_of(root)
  if not record.state or FINAL[record.state] or record.started_at then return 0 end
  local ended = end_waiting(root, 'EXPIRED', 'expired')
  conclude(root)
  return ended
end

-- Below this position all of a list have been taken; nil where that cannot be told.
local function taken_below(list)
  local tail = redis.call('LINDEX', list, -1)
  if not tail then return (position_at(list, -1) or 0) + 1 end
  local can_be_read, tag = pcall(function() return cjson.decode(tail).properties.delivery_tag end)
  local position = can_be_read and type(tag) == 'string' and redis.call('ZSCORE', index_of(list), tag)
  return position and tonumber(position) or nil
end

-- A worker notes in a moment what it has taken. What was taken before the last look, some time ago,
-- and still is in the outbox, was lost with its worker.
local function recover(list)
  local look = redis.call('HGET', 'celeryql:outbox_looks', list)
  local below_then, looked_at = string.match(look or '', '^(%S+) (%S+)$')
  if look and now_ms - looked_at < LOST_AFTER_MS then return end
  local below = taken_below(list)
  if not below then return end
  if look then
    local upto = '(' .. as_text(math.min(below, below_then))
    local lost = redis.call('ZRANGEBYSCORE', index_of(list), '-inf', upto, 'LIMIT', 0, AT_ONCE)
    for i = #lost, 1, -1 do
      local _, payload = take(lost[i])
      if redis.call('HEXISTS', 'unacked', lost[i]) == 0 then  -- else a stock worker has it
        push_first(list, lost[i], payload)
      end
    end
  end
  redis.call('HSET', 'celeryql:outbox_looks', list, as_text(below) .. ' ' .. now)
end

for _, list in ipairs(redis.call('SMEMBERS', 'celeryql:outbox_lists')) do recover(list) end

local due = upto_now('celeryql:scheduled')
for _, id in ipairs(due) do send_held(id) end

local late, ended = upto_now('celeryql:expiring'), 0
for _, root in ipairs(late) do
  if ended < AT_ONCE then ended = ended + expire(root) end
end

if #due < AT_ONCE and #late < AT_ONCE and ended < AT_ONCE then return 0 end
redis.call('DEL', 'celeryql:sweep')
return 1
