"""The GraphQL types, inputs and fields that are derived from Celery tasks."""
