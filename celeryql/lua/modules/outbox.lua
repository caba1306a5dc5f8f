-- The outbox: a copy of every message until a worker has noted that it holds it.
--
-- A queue is a list that is filled at its head and emptied at its tail. Each of its messages has a
-- position, and messages below the position of the tail have been taken. kombu keeps what workers
-- hold in the hash `unacked`. Messages that are due later are kept apart, by their task.
--
-- A push is a table that says where a message goes: `queue_list`, delivery `tag`, `task_id`, and
-- optionally when it is due (`due_ms`, or `delay_ms` from now), when it expires (`expires_in_ms`
-- from now, which is added to the payload), and `is_spare` (see `schedule`).

local keys = require('keys')
local as_text = require('transaction').as_text

local OUTAGE_MS, GRACE_MS = 3000, 5000

local outbox = {}

-- Get the position at one end of a list: 0 for the lowest, -1 for the highest; nil if it is empty.
function outbox.position_at(list, place)
  local found = redis.call('ZRANGE', keys.outbox_index(list), place, place, 'WITHSCORES')
  return tonumber(found[2])
end

local function remember(list, tag, payload, position)
  redis.call('HSET', keys.OUTBOX, tag, list .. '\n' .. payload)
  redis.call('ZADD', keys.outbox_index(list), as_text(position), tag)
  redis.call('SADD', keys.OUTBOX_LISTS, list)
end

-- Push a message that is taken after all others.
function outbox.push_last(tx, list, tag, payload)
  local position = math.max(tx.now_us, (outbox.position_at(list, -1) or 0) + 1)
  remember(list, tag, payload, position)
  redis.call('LPUSH', list, payload)
end

-- Push a message that is taken before all others.
function outbox.push_first(tx, list, tag, payload)
  remember(list, tag, payload, (outbox.position_at(list, 0) or tx.now_us) - 1)
  redis.call('RPUSH', list, payload)
end

-- Take a message out of the outbox, and return its list and payload; nothing if it is not there.
function outbox.take(tag)
  local entry = redis.call('HGET', keys.OUTBOX, tag)
  if not entry then return end
  local list, payload = string.match(entry, '^([^\n]*)\n(.*)$')
  redis.call('HDEL', keys.OUTBOX, tag)
  redis.call('ZREM', keys.outbox_index(list), tag)
  return list, payload
end

-- Schedule a message. A spare one is dropped if its task has a scheduled message already.
local function schedule(push, payload, due_ms)
  local set = push.is_spare and 'HSETNX' or 'HSET'
  local is_new = redis.call(set, keys.SCHEDULED_MESSAGES, push.task_id, cjson.encode(
    {queue_list = push.queue_list, tag = push.tag, payload = payload}))
  if push.is_spare and is_new == 0 then return end
  redis.call('ZADD', keys.SCHEDULED, as_text(due_ms), push.task_id)
end

-- Drop the scheduled message of a task.
function outbox.drop_scheduled(task_id)
  if redis.call('ZREM', keys.SCHEDULED, task_id) == 1 then
    redis.call('HDEL', keys.SCHEDULED_MESSAGES, task_id)
  end
end

-- Send a message now, or schedule it if it is due later.
function outbox.send(tx, push, payload)
  if push.expires_in_ms then
    local at = as_text(tx.now_ms + push.expires_in_ms)
    payload = '{"expires_at_ms": ' .. at .. ', ' .. string.sub(payload, 2)
  end
  local due_ms = push.due_ms or push.delay_ms and tx.now_ms + push.delay_ms
  if due_ms then
    schedule(push, payload, due_ms)
  else
    outbox.push_last(tx, push.queue_list, push.tag, payload)
  end
end

-- Whether an outage of Redis has just ended. Some process sweeps twice a second, so a longer gap
-- between two calls is an outage. Workers could not renew what they hold meanwhile, so each gets
-- some seconds to do it before its messages go to another.
function outbox.is_after_outage(tx, visibility_ms)
  local pulse = redis.call('GET', keys.PULSE)
  if not pulse or tx.now_ms - pulse > OUTAGE_MS then
    redis.call('SET', keys.GRACE, 1, 'PX', math.min(GRACE_MS, visibility_ms))
  end
  redis.call('SET', keys.PULSE, tx.now)
  return redis.call('EXISTS', keys.GRACE) == 1
end

return outbox
