-- Events: each goes to the stream that the API processes read, and to the history of its root.

local keys = require('keys')
local records = require('records')

local LONG_HISTORY = 1000

local events = {}

-- In a long history, a task's newest progress replaces the progress before it.
local function replaces_last(key, id, kind)
  if kind ~= 'PROGRESS' or redis.call('LLEN', key) < LONG_HISTORY then return false end
  local last = cjson.decode(string.match(redis.call('LINDEX', key, -1), ' (.*)'))
  return last.kind == 'PROGRESS' and last.id == id
end

-- A history has a bound. The cursor of the newest event that was cut off is kept in the root's
-- record, so that a reader who resumes before it learns that events are missing.
local function keep_in_history(tx, root, entry, id, kind)
  local key = keys.history(root)
  if replaces_last(key, id, kind) then
    redis.call('LSET', key, -1, entry)
  elseif redis.call('RPUSH', key, entry) > tx.limits.history_kept then
    records.save(tx, root, {trimmed = string.match(redis.call('LPOP', key), '^%S+')})
  end
end

-- Append an event and return its cursor.
-- `kind` is STATE or PROGRESS. `event` is a table that becomes JSON; `changes.lua` makes it.
function events.append(tx, id, root, kind, event)
  local json = cjson.encode(event)
  -- The numbers have no gaps, so a reader notices when the stream was trimmed ahead of it.
  local cursor = redis.call('XADD', keys.EVENTS, 'MAXLEN', '~', tx.limits.events_kept, '*',
                            'number', redis.call('INCR', keys.EVENT_NUMBER),
                            'root', root, 'event', json)
  keep_in_history(tx, root, cursor .. ' ' .. json, id, kind)
  return cursor
end

return events
