"""The reference application: an ordinary Celery app with typed tasks, run by `celery -A tasks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.celery_app import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    # On first use, because importing `tasks.settings` must not import every task.
    if name == "app":
        from tasks.celery_app import app  # noqa: PLC0415

        return app
    raise AttributeError(name)
