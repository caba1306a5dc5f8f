"""Spam detection, from labelled messages to verdicts; knows nothing of Celery or GraphQL."""
