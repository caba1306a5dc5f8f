-- The names of the keys in Redis. `docs/inside-redis.md` says what each of them holds.
-- All releases share the keys, so a key keeps its name even where its constant got a clearer one.

local keys = {
  EVENTS = 'celeryql:events',
  EVENT_NUMBER = 'celeryql:event_number',
  EXPIRING = 'celeryql:expiring',
  GRACE = 'celeryql:grace',
  LISTINGS_CHECKED = 'celeryql:looked_at',
  OUTBOX = 'celeryql:outbox',
  OUTBOX_LISTS = 'celeryql:outbox_lists',
  OUTBOX_LOOKS = 'celeryql:outbox_looks',
  PULSE = 'celeryql:pulse',
  SCHEDULED = 'celeryql:scheduled',
  SCHEDULED_MESSAGES = 'celeryql:scheduled_messages',
  SWEEP = 'celeryql:sweep',
  TASKS = 'celeryql:tasks',
  UNACKED = 'unacked',
  UNACKED_INDEX = 'unacked_index',
}

function keys.task(id) return 'celeryql:task:' .. id end
function keys.input(id) return 'celeryql:input:' .. id end
function keys.result(id) return 'celery-task-meta-' .. id end
function keys.history(root) return 'celeryql:events:' .. root end
function keys.workflow(id) return 'celeryql:workflow:' .. id end
function keys.signatures(id) return 'celeryql:signatures:' .. id end
function keys.tasks_of(owner) return 'celeryql:tasks:' .. owner end
function keys.rate(owner) return 'celeryql:rate:' .. owner end
function keys.durations(definition) return 'celeryql:timings:' .. definition end
function keys.outbox_index(list) return 'celeryql:outbox_index:' .. list end
function keys.worker(name) return 'celeryql:worker:' .. name end
function keys.terminate(worker) return 'celeryql:terminate:' .. worker end

-- The length keeps owner `a` with key `b:c` apart from owner `a:b` with key `c`.
function keys.idempotency(owner, key)
  return 'celeryql:idempotency:' .. #owner .. ':' .. owner .. ':' .. key
end

return keys
