-- Write one state of one task: Celery's result, record, event, workflow, and what follows it.
-- ARGV: the change (JSON), Celery's result meta, then one payload for each push of the change.
-- Returns 1 where the state was taken, 0 where the task had already ended.

local change = cjson.decode(ARGV[1])
local meta = ARGV[2]
local id, kept, ttl = change.id, change.events_kept, change.ttl
local record = read_hash(task_key(id))
local set = change.set

local function store_meta()
  redis.call('SETEX', change.meta_key, ttl, meta)
  redis.call('PUBLISH', change.meta_key, meta)
end

if record.state and FINAL[record.state] then
  -- Celery marks each later step of a failed chain; keep that for its callers, once.
  if FINAL[change.set.state] and redis.call('EXISTS', change.meta_key) == 0 then store_meta() end
  return 0
end
if change.start and change.start == record.start then return 1 end  -- its answer was lost
store_meta()
-- What a task's end sets off leaves in the same instant as the end itself.
for i, push in ipairs(change.pushes) do
  redis.call('LPUSH', push.queue_list, ARGV[i + 2])
end

if not record.state then  -- enqueued by a plain Celery caller: it becomes visible now
  record = {state = 'QUEUED', root = id, owner = '', created_at = now, attempt = '0'}
  redis.call('HSET', task_key(id), 'state', 'QUEUED', 'root', id, 'owner', '',
             'created_at', now, 'attempt', '0', unpack(change.adopt.fields))
  redis.call('ZADD', 'celeryql:tasks', string.format('%.0f', clock[1] * 1000000 + clock[2]), id)
end

-- Of a plain caller's task, and of a step that was handed a value, the input is known only now.
if change.adopt.input ~= cjson.null and (record.root ~= id or not record.cursor) then
  redis.call('SET', input_key(id), change.adopt.input)
end

local kind = set.progress and record.state == 'RUNNING' and 'PROGRESS' or 'STATE'
if change.start then
  set.start = change.start
  set.attempt = string.format('%d', (record.attempt or 0) + 1)
  if not record.started_at then set.started_at = now end
  redis.call('HDEL', task_key(id), 'failure', 'progress')  -- those of the attempt before
end
if FINAL[set.state] then set.finished_at = now end
move(id, record, set, kind, kept)

for _, push in ipairs(change.pushes) do
  local waiting = read_hash(task_key(push.task_id))
  if waiting.state == 'WAITING' then
    move(push.task_id, waiting, {state = 'QUEUED', celery_state = 'PENDING'}, 'STATE', kept)
  end
end

if record.root == id then
  if FINAL[set.state] then expire_root(id, ttl) end
else
  local failure
  if FINAL[set.state] and set.state ~= 'SUCCEEDED' then
    failure = set.failure
    skip_dependents(record.root, record.key, kept)
  end
  settle_workflow(record.root, kept, ttl, failure)
end
return 1
