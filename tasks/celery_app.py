"""The Celery app of these tasks: its modules, queues and routes; found by `celery -A tasks`."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

from celery import Celery, signals
from kombu.entity import Exchange, Queue

from celeryql import install
from celeryql.errors import exit_on_bad_configuration
from tasks.settings import load_settings

DEFAULT_QUEUE = "celery"
ROUTES = {"tasks.spam.*": "ml_service", "tasks.email.*": "email_service"}
QUEUES = (DEFAULT_QUEUE, *ROUTES.values())

_modules = pkgutil.iter_modules([str(Path(__file__).parent)], "tasks.")
app = Celery("tasks", include=[module.name for module in _modules])
install(app)
app.conf.update(
    task_default_queue=DEFAULT_QUEUE,
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
    task_create_missing_queues=False,
    task_routes={pattern: {"queue": queue} for pattern, queue in ROUTES.items()},
    enable_utc=True,
)


@signals.celeryd_init.connect
def _check_settings(**_: Any) -> None:
    with exit_on_bad_configuration():
        load_settings()
