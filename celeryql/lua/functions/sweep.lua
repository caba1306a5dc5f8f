-- Send messages that are due, expire tasks that are late, and push lost messages again.
--
-- All processes call this twice a second; the first to call does it for all.
-- Argument: a request (JSON) without anything but `limits`.
-- Returns 1 if there may be more to do at once, else 0.

local changes = require('changes')
local endings = require('endings')
local keys = require('keys')
local outbox = require('outbox')
local records = require('records')
local transaction = require('transaction')
local FINAL = require('states').FINAL
local as_text = transaction.as_text

local LOST_AFTER_MS = 2000
local AT_ONCE = 200  -- keeps Redis busy for some milliseconds; one workflow may exceed it

local function due(tx, key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', tx.now, 'LIMIT', 0, AT_ONCE)
end

-- Send the scheduled message of a task.
-- `is_grace`: an outage has just ended, so a task that runs may still have its worker.
local function send_scheduled(tx, id, is_grace)
  local scheduled = redis.call('HGET', keys.SCHEDULED_MESSAGES, id)
  local state = records.get(tx, id).state
  if state == 'RUNNING' and is_grace then
    redis.call('ZADD', keys.SCHEDULED, as_text(tx.now_ms + tx.limits.lease_ms), id)
    return
  end
  outbox.drop_scheduled(id)
  if not scheduled or FINAL[state] then return end
  local push = cjson.decode(scheduled)
  -- A task that runs has lost its worker by now, and has waited in the queue before.
  local push_again = state == 'RUNNING' and outbox.push_first or outbox.push_last
  push_again(tx, push.queue_list, push.tag, push.payload)
  if state == 'SCHEDULED' then
    changes.apply(tx, id, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE')
    local root = records.get(tx, id).root
    if root ~= id then endings.settle(tx, root) end
  end
end

-- Expire a root that has not started, and return how many tasks have ended.
local function expire(tx, root)
  redis.call('ZREM', keys.EXPIRING, root)
  local record = records.get(tx, root)
  if not record.state or FINAL[record.state] or record.started_at then return 0 end
  local ended = endings.end_waiting(tx, root, 'EXPIRED', 'expired')
  endings.conclude(tx, root)
  return ended
end

local function expire_late(tx, roots)
  local ended = 0
  for _, root in ipairs(roots) do
    if ended < AT_ONCE then ended = ended + expire(tx, root) end
  end
  return ended
end

-- Find the position below which every message of a list was taken; nil if its tail is no message.
local function taken_below(list)
  local tail = redis.call('LINDEX', list, -1)
  if not tail then return (outbox.position_at(list, -1) or 0) + 1 end
  local is_json, tag = pcall(function() return cjson.decode(tail).properties.delivery_tag end)
  if not is_json or type(tag) ~= 'string' then return nil end
  return tonumber(redis.call('ZSCORE', keys.outbox_index(list), tag) or nil)
end

-- Push again what was taken before the last look at a list and still is in the outbox. A worker
-- notes within a moment what it has taken, so these messages were lost with their workers.
local function push_lost_again(tx, list, below)
  local lost = redis.call('ZRANGEBYSCORE', keys.outbox_index(list), '-inf', '(' .. as_text(below),
                          'LIMIT', 0, AT_ONCE)
  for i = #lost, 1, -1 do
    local _, payload = outbox.take(lost[i])
    if redis.call('HEXISTS', keys.UNACKED, lost[i]) == 0 then  -- else a stock worker holds it
      outbox.push_first(tx, list, lost[i], payload)
    end
  end
end

local function recover(tx, list)
  local look = redis.call('HGET', keys.OUTBOX_LOOKS, list)
  local below_then, looked_at = string.match(look or '', '^(%S+) (%S+)$')
  if look and tx.now_ms - looked_at < LOST_AFTER_MS then return end
  local below = taken_below(list)
  if not below then return end
  if look then push_lost_again(tx, list, math.min(below, below_then)) end
  redis.call('HSET', keys.OUTBOX_LOOKS, list, as_text(below) .. ' ' .. tx.now)
end

return function(_, args)
  local request = cjson.decode(args[1])
  local tx = transaction.begin(request.limits)
  local is_first = redis.call('SET', keys.SWEEP, '1', 'NX', 'PX', tx.limits.sweep_lock_ms)
  if not is_first then return 0 end

  local is_grace = outbox.is_after_outage(tx, tx.limits.lease_ms)
  for _, list in ipairs(redis.call('SMEMBERS', keys.OUTBOX_LISTS)) do recover(tx, list) end
  local to_send = due(tx, keys.SCHEDULED)
  for _, id in ipairs(to_send) do send_scheduled(tx, id, is_grace) end
  local late = due(tx, keys.EXPIRING)
  local ended = expire_late(tx, late)

  if #to_send < AT_ONCE and #late < AT_ONCE and ended < AT_ONCE then return 0 end
  redis.call('DEL', keys.SWEEP)
  return 1
end
