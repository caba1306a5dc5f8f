"""Install CeleryQL into a Celery app, find that app, and list the tasks that it exposes."""
