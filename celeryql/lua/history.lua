-- Read a page of a history. KEYS: its list, the record of its root. ARGV: the two halves of the
-- cursor that it begins behind, how many events. Returns the newest event that was cut off, and the
-- page. A history is in the order of its cursors: halving finds where a page begins, at one instant
-- with how far the history was trimmed.

local ms, sequence, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local low, high = 0, redis.call('LLEN', KEYS[1])
while low < high do
  local middle = math.floor((low + high) / 2)
  local its_ms, its_sequence = string.match(redis.call('LINDEX', KEYS[1], middle), '^(%d+)-(%d+)')
  its_ms, its_sequence = tonumber(its_ms), tonumber(its_sequence)
  if its_ms < ms or (its_ms == ms and its_sequence <= sequence) then
    low = middle + 1
  else
    high = middle
  end
end
return {redis.call('HGET', KEYS[2], 'trimmed'),
        redis.call('LRANGE', KEYS[1], low, low + count - 1)}
