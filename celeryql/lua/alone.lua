-- The first part of `transition.lua`: the two writes that most tasks consist of, the first start and
-- the success of one that is no part of a workflow. What only others need is not made for them.

local change = request.change
local id, set = change.id, change.set
local record = record_of(id)

-- Set what a run has from its start on.
local function begin()
  set.start, set.began_at = change.start, now
  set.lease = as_text(now_ms + limits.lease_ms)
  set.attempt = as_text((record.attempt or 0) + 1)
  if not record.started_at then set.started_at = now end
end

local is_alone = record.root == id and record.definition ~= 'workflow' and #change.pushes == 0
local begins = change.start and record.state == 'QUEUED' and not record.start
               and not record.terminate and not record.expires_at
local succeeds = set.state == 'SUCCEEDED' and record.state == 'RUNNING'

if is_alone and (begins or succeeds) then
  store_result(id, ARGV[2])
  if begins then
    begin()
  else
    redis.call('HDEL', task_key(id), 'lease')
    set.finished_at = now
  end
  set.cursor = append(id, id, 'STATE', event_of(id, set, 'STATE'))
  save(id, set)
  if succeeds then expire_alone(id) end
  return {1, record.attempt, record.max_attempts or ''}
end
