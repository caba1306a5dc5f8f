"""`install(app)`: what CeleryQL sets on a Celery app."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from celeryql.adopt.configuration import configuration
from celeryql.observability.logs import configure_workers
from celeryql.observability.request_context import propagate_request_context
from celeryql.observability.traces import trace_workers
from celeryql.worker.task_class import TypedTask


def install(app: Celery) -> None:
    """Give an app's tasks types, records and safe delivery.

    Call it before the app's first task is declared. Settings are read when the app first needs its
    configuration, not here.

    Args:
        app: a Celery app that has no tasks yet.
    """
    app.task_cls = TypedTask
    # By name, because Celery imports these on first use.
    app.amqp_cls = "celeryql.broker.transport:Amqp"
    app.loader_cls = "celeryql.adopt.loader:Loader"
    app.steps["worker"].add("celeryql.worker.heartbeat:Heartbeat")
    app.add_defaults(configuration)
    configure_workers(app)
    propagate_request_context()
    trace_workers()
    signals.worker_init.connect(_disable_gossip, weak=False, dispatch_uid="celeryql")


def is_installed(app: Celery) -> bool:
    """Whether `install` was called with this app."""
    return app.task_cls is TypedTask


def _disable_gossip(sender: Any, **_: Any) -> None:
    # Workers need no news of each other: heartbeats and cancellations are in Redis. If a connection
    # is reset while a starting worker queries its neighbors, that worker exits.
    if is_installed(sender.app):
        sender.options.update(without_gossip=True, without_mingle=True)
