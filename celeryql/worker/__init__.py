"""What runs inside a Celery worker: the task class, the result backend, leases, the sweep."""
