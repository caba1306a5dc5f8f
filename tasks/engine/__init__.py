"""The engine on Celery and Redis; a task module needs only the names below."""

from tasks.engine.celery_app import app
from tasks.engine.progress import report_progress
from tasks.engine.typed import Sensitive

__all__ = ["Sensitive", "app", "report_progress"]
