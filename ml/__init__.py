"""Spam detection, from labelled messages to verdicts; independent of Celery and GraphQL."""
