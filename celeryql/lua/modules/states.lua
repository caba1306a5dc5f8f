-- The states of a task.

return {
  ALL = {'SCHEDULED', 'WAITING', 'QUEUED', 'RUNNING', 'RETRYING',
         'SUCCEEDED', 'FAILED', 'CANCELED', 'SKIPPED', 'EXPIRED'},
  FINAL = {SUCCEEDED = true, FAILED = true, CANCELED = true, SKIPPED = true, EXPIRED = true},
  -- Celery's name of each state that a worker does not report itself.
  CELERY = {SCHEDULED = 'PENDING', WAITING = 'PENDING', QUEUED = 'PENDING', RUNNING = 'STARTED',
            SUCCEEDED = 'SUCCESS', FAILED = 'FAILURE', SKIPPED = 'FAILURE', CANCELED = 'REVOKED',
            EXPIRED = 'REVOKED'},
}
