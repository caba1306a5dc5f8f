"""Spam detection, from labeled messages to verdicts; independent of Celery and GraphQL."""
