-- Shared by every script: messages on their way into a worker's hands.
-- A queue list is filled at its head and emptied at its tail. Each of its messages has a position,
-- so those below the position of the tail have been taken. What is held is in kombu's `unacked`.
-- A push names its `queue_list`, its delivery `tag`, its `task_id`, and when it is due: at a time
-- (`due_ms`) or after a while (`delay_ms`). With `expires_in_ms` its payload is told when it expires.

-- In seconds, as kombu scores what is held.
local function seconds_ago(seconds) return string.format('%.6f', now_us / 1000000 - seconds) end

local function index_of(list) return 'celeryql:outbox_index:' .. list end

-- The position at one end of the index: 0 for the lowest, -1 for the highest.
local function position_at(list, place)
  return tonumber(redis.call('ZRANGE', index_of(list), place, place, 'WITHSCORES')[2])
end

local function remember(list, tag, payload, position)
  redis.call('HSET', 'celeryql:outbox', tag, list .. '\n' .. payload)
  redis.call('ZADD', index_of(list), as_text(position), tag)
  redis.call('SADD', 'celeryql:outbox_lists', list)
end

-- Push a message to be taken after all others.
local function push_last(list, tag, payload)
  remember(list, tag, payload, math.max(now_us, (position_at(list, -1) or 0) + 1))
  redis.call('LPUSH', list, payload)
end

-- Push a message to be taken before all others.
local function push_first(list, tag, payload)
  remember(list, tag, payload, (position_at(list, 0) or now_us) - 1)
  redis.call('RPUSH', list, payload)
end

-- Take a message out of the outbox, and return its list and payload.
local function take(tag)
  local entry = redis.call('HGET', 'celeryql:outbox', tag)
  if not entry then return end
  local list, payload = string.match(entry, '^([^\n]*)\n(.*)$')
  redis.call('HDEL', 'celeryql:outbox', tag)
  redis.call('ZREM', index_of(list), tag)
  return list, payload
end

-- Redis refuses what takes memory when it is full, but not in a script that has freed some. For what
-- takes no more than it frees.
local function pass_when_full() redis.call('DEL', 'celeryql:nothing') end

-- Hold a message back until it is due; a spare one only where no other of its task is held.
local function hold(push, payload, due_ms)
  local set = push.is_spare and 'HSETNX' or 'HSET'
  local is_new = redis.call(set, 'celeryql:scheduled_messages', push.task_id, cjson.encode(
    {queue_list = push.queue_list, tag = push.tag, payload = payload}))
  if push.is_spare and is_new == 0 then return end
  redis.call('ZADD', 'celeryql:scheduled', as_text(due_ms), push.task_id)
end

local function send(push, payload)
  if push.expires_in_ms then
    local at = as_text(now_ms + push.expires_in_ms)
    payload = '{"expires_at_ms": ' .. at .. ', ' .. string.sub(payload, 2)
  end
  local due_ms = push.due_ms or push.delay_ms and now_ms + push.delay_ms
  if due_ms then
    hold(push, payload, due_ms)
  else
    push_last(push.queue_list, push.tag, payload)
  end
end

local OUTAGE_MS, GRACE_MS = 3000, 5000

-- Tell whether an outage of Redis has just ended. Every living process sweeps, twice a second, so a
-- longer gap is one; and no worker could renew what it holds meanwhile, so each gets some time.
local function is_after_outage(visibility_ms)
  local pulse = redis.call('GET', 'celeryql:pulse')
  if not pulse or now_ms - pulse > OUTAGE_MS then
    redis.call('SET', 'celeryql:grace', 1, 'PX', math.min(GRACE_MS, visibility_ms))
  end
  redis.call('SET', 'celeryql:pulse', as_text(now_ms))
  return redis.call('EXISTS', 'celeryql:grace') == 1
end
