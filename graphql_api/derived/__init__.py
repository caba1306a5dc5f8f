"""A Celery task becomes GraphQL types, inputs and fields."""
