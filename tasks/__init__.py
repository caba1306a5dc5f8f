"""The reference application: an ordinary Celery app with typed tasks, run by `celery -A tasks`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The `celery` command has the working directory on the path only while it imports this module (seen
# in Celery 5.7). Reading `app` imports `celeryql` after that, and tasks import `ml` when they run.
sys.path.append(str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from tasks.celery_app import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    # On first use, because importing `tasks.settings` must not import every task.
    if name == "app":
        from tasks.celery_app import app  # noqa: PLC0415

        return app
    raise AttributeError(name)
