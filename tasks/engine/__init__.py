"""The engine on Celery and Redis; a task module needs only the names below."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.engine.arguments import Sensitive
    from tasks.engine.celery_app import app
    from tasks.engine.claim import Claim
    from tasks.engine.progress import report_progress
    from tasks.engine.retryable import Retryable

__all__ = ["Claim", "Retryable", "Sensitive", "app", "report_progress"]

_MODULES = {
    "app": "celery_app",
    "report_progress": "progress",
    "Claim": "claim",
    "Retryable": "retryable",
    "Sensitive": "arguments",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for, as in `tasks`.
    if name in _MODULES:
        return getattr(import_module(f"tasks.engine.{_MODULES[name]}"), name)
    raise AttributeError(name)
