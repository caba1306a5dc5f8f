-- Read a page of a root's history, and how far the history was trimmed, at one instant.
--
-- Arguments: the root's id, the two numbers of the cursor that the page begins behind, how many
-- events to return at most.
-- Returns the cursor of the newest event that was cut off (nil if there is none), and the events.

local keys = require('keys')

local function cursor_at(key, index)
  local ms, sequence = string.match(redis.call('LINDEX', key, index), '^(%d+)-(%d+)')
  return tonumber(ms), tonumber(sequence)
end

-- Find the first event behind a cursor. A history is sorted by its cursors.
local function first_behind(key, ms, sequence)
  local low, high = 0, redis.call('LLEN', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local its_ms, its_sequence = cursor_at(key, middle)
    if its_ms < ms or (its_ms == ms and its_sequence <= sequence) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

return function(_, args)
  local root, ms, sequence, count = args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local key = keys.history(root)
  local first = first_behind(key, ms, sequence)
  return {redis.call('HGET', keys.task(root), 'trimmed'),
          redis.call('LRANGE', key, first, first + count - 1)}
end
