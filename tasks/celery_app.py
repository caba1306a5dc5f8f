"""The Celery app: its configuration, its routes, its task class; found by `celery -A tasks`."""

from __future__ import annotations

import gc
import math
import pkgutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from celery import Celery, signals
from celery.loaders.app import AppLoader
from kombu.entity import Exchange, Queue

import tasks
from celeryql.broker.captured_messages import CELERY_PRIORITIES
from celeryql.definition.annotations import canonical_name
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition, ending_in_one_sentence
from celeryql.observability.logs import configure_workers
from celeryql.observability.request_trail import carry_trail
from celeryql.observability.traces import trace_workers
from celeryql.records import Priority
from celeryql.redis_url import tls_options, without_options
from celeryql.settings import PROJECT_ROOT, Settings, load_settings
from celeryql.worker.task_class import TypedTask

ROUTES = {"tasks.spam.*": "ml_service", "tasks.email.*": "email_service"}
DEFAULT_QUEUE = "celery"
QUEUES = (DEFAULT_QUEUE, *dict.fromkeys(ROUTES.values()))


def _task_modules() -> list[str]:
    found = pkgutil.iter_modules(tasks.__path__, "tasks.")
    return [module.name for module in found if not module.ispkg]


def _configuration() -> dict[str, Any]:
    # The `celery` command would show a traceback; other programs can handle the exception.
    is_command = "celery.bin.celery" in sys.modules
    with ending_in_one_sentence() if is_command else nullcontext():
        settings = load_settings()
    return {
        **_broker(settings),
        **_result_backend(settings),
        "imports": _task_modules(),
        "task_default_queue": DEFAULT_QUEUE,
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_create_missing_queues": False,
        "task_default_priority": CELERY_PRIORITIES[Priority.NORMAL],
        "task_routes": {pattern: {"queue": queue} for pattern, queue in ROUTES.items()},
        "accept_content": ["json"],
        "enable_utc": True,
        # A task is acknowledged when it has ended, whichever way, and not before.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # Of a stop by SIGQUIT, or by SIGTERM with REMAP_SIGTERM=SIGQUIT: what has not ended by then
        # is given back, and run by another worker.
        "worker_soft_shutdown_timeout": settings.soft_shutdown_timeout,
        "worker_hijack_root_logger": False,
    }


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": without_options(settings.redis_url),
        "broker_use_ssl": tls_options(settings.redis_url),
        "broker_transport": "celeryql.broker.transport:Transport",
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
        "broker_connection_retry_on_startup": True,
        "broker_channel_error_retry": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 2,
        "broker_pool_acquire_timeout": 2,
    }


def _result_backend(settings: Settings) -> dict[str, Any]:
    retry_policy = {
        "max_retries": 20,
        "interval_start": 0.05,
        "interval_step": 0.2,
        "interval_max": 1,
    }
    backend = "celeryql.worker.result_backend.Backend"
    return {
        "result_backend": f"{backend}+{without_options(settings.redis_url)}",
        "redis_backend_use_ssl": tls_options(settings.redis_url),
        "result_accept_content": ["json"],
        "result_expires": settings.result_expires,
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "result_backend_max_sleep_between_retries_ms": 2000,
        "result_backend_transport_options": {"retry_policy": retry_policy},
        "redis_socket_timeout": 5,
        "redis_socket_connect_timeout": 2,
        "redis_socket_keepalive": True,
        "redis_retry_on_timeout": True,
        "redis_backend_health_check_interval": 5,
    }


# The `celery` command takes the working directory off the path again once it has found the app, and
# a task body that imports `ml` later would not find it (seen in Celery 5.7). So add it once more.
sys.path.append(str(PROJECT_ROOT))


class Loader(AppLoader):
    """Celery's loader, under which no worker starts where the API would not."""

    def init_worker(self) -> None:
        """Import the task modules at the start of a worker."""
        with ending_in_one_sentence():
            definitions()
        # What a worker has to say of a task, nobody else can: it waits for Redis, however long.
        self.app.conf.result_backend_max_retries = math.inf
        super().init_worker()
        # A collection marks what it looks at, and what is marked is shared with the pool no more.
        gc.collect()
        gc.freeze()


app = Celery("tasks", task_cls=TypedTask, loader=Loader, amqp="celeryql.broker.transport:Amqp")
app.add_defaults(_configuration)
configure_workers(app)
carry_trail()
trace_workers()
app.steps["worker"].add("celeryql.worker.heartbeat:Heartbeat")  # by name: only workers load it


@signals.worker_init.connect
def _leave_out_gossip(sender: Any, **_: Any) -> None:
    # Workers need no news of each other: heartbeats and cancellations are in Redis. A connection
    # that is reset while a worker asks its neighbors at start can end that worker for good.
    sender.options.update(without_gossip=True, without_mingle=True)


def definitions() -> dict[str, TaskDefinition]:
    """Import every task module and name what they declare.

    Returns:
        Definitions by name, in alphabetical order.

    Raises:
        BadTaskDefinition: a task cannot be offered, or two of them clash.
    """
    app.loader.import_default_modules()
    app.finalize()
    found: dict[str, TaskDefinition] = {}
    for name, task in sorted(app.tasks.items()):
        if not hasattr(task, "definition"):
            raise BadTaskDefinition(
                name, "it is not of the app's task class: base its class on `app.Task`"
            )
        if task.definition is not None:
            found[name] = task.definition
    _refuse_clashes(found)
    return {d.name: d for d in sorted(found.values(), key=lambda d: d.name)}


def _refuse_clashes(found: Mapping[str, TaskDefinition]) -> None:
    tasks_by_name: dict[str, str] = {}
    types_by_name: dict[str, type] = {}
    for full_name, definition in found.items():
        other = tasks_by_name.setdefault(canonical_name(definition.name), full_name)
        if other != full_name:
            raise BadTaskDefinition(full_name, f"{other} has the same name: rename one")
        for type_ in sorted(definition.types, key=_full_name):
            namesake = types_by_name.setdefault(type_.__name__, type_)
            if namesake is not type_:
                reason = f"its type {_full_name(type_)} has the name of {_full_name(namesake)}"
                raise BadTaskDefinition(full_name, f"{reason}: rename one")


def _full_name(type_: type) -> str:
    return f"{type_.__module__}.{type_.__qualname__}"
