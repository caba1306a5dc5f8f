"""The task modules, and under `engine` what runs them; `celery -A tasks` finds the app here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.celery_app import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    # Only who asks for the app loads Celery: the supervisor, whose start people wait for, does not.
    if name == "app":
        from tasks.celery_app import app  # noqa: PLC0415

        return app
    raise AttributeError(name)
