"""The task modules, and under `engine` what runs them; `celery -A tasks` finds the app here."""

from tasks.engine.celery_app import app

__all__ = ["app"]
