-- Listings: sorted sets of task ids, by the microsecond in which each was accepted.

local keys = require('keys')
local as_text = require('transaction').as_text

local MANY = 1000  -- arguments for one command; Lua's limit is about 8,000

local listings = {}

-- Remove the ids whose records have expired; most often there are none.
local function remove_expired(key, ids)
  local task_keys = {}
  for i, id in ipairs(ids) do task_keys[i] = keys.task(id) end
  if #ids == 0 or redis.call('EXISTS', unpack(task_keys)) == #ids then return end
  for i, id in ipairs(ids) do
    if redis.call('EXISTS', task_keys[i]) == 0 then redis.call('ZREM', key, id) end
  end
end

-- Check the next `count` ids of a listing, from old to new and then from the start again. (Random
-- ids would be spread over all memory, which takes longer the more there are.)
local function check_next(key, count)
  local behind = redis.call('HGET', keys.LISTINGS_CHECKED, key) or '-inf'
  local found = redis.call('ZRANGEBYSCORE', key, '(' .. behind, '+inf', 'WITHSCORES',
                           'LIMIT', 0, count)
  local ids = {}
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    if #ids == MANY then
      remove_expired(key, ids)
      ids = {}
    end
  end
  remove_expired(key, ids)
  redis.call('HSET', keys.LISTINGS_CHECKED, key, found[2 * count] or '-inf')
end

local function add_all(tx, key, ids)
  local members = {}
  for i, id in ipairs(ids) do
    members[#members + 1] = as_text(tx.now_us + i - 1)
    members[#members + 1] = id
    if #members == MANY or i == #ids then
      redis.call('ZADD', key, unpack(members))
      members = {}
    end
  end
end

-- Add ids in the given order to the listings under the given keys. For each id, four others are
-- checked: so a listing has at most a third more ids than there are records, at a bounded cost.
function listings.add(tx, ids, ...)
  for _, key in ipairs({...}) do
    add_all(tx, key, ids)
    check_next(key, 4 * #ids)
  end
end

return listings
