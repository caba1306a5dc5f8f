"""CeleryQL's engine on Celery and Redis; the names below are what an application needs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeryql.adopt.install import install
    from celeryql.definition.sensitive import Sensitive
    from celeryql.task_errors import Retryable
    from celeryql.worker.claim import Claim
    from celeryql.worker.progress import report_progress

__all__ = ["Claim", "Retryable", "Sensitive", "install", "report_progress"]

_MODULES = {
    "Claim": "celeryql.worker.claim",
    "Retryable": "celeryql.task_errors",
    "Sensitive": "celeryql.definition.sensitive",
    "install": "celeryql.adopt.install",
    "report_progress": "celeryql.worker.progress",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: importing a submodule must not load Celery and pydantic.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(name)
