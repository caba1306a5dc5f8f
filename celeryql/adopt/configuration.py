"""The Celery configuration that the guarantees of CeleryQL depend on."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

from celeryql.broker.priorities import CELERY_PRIORITIES
from celeryql.errors import exit_on_bad_configuration
from celeryql.records import Priority
from celeryql.redis_url import tls_options, without_options
from celeryql.settings import Settings, load_settings


def configuration() -> dict[str, Any]:
    """Read the settings and turn them into Celery's.

    Raises:
        BadSettings: a setting is malformed or out of range.
        SystemExit: the same, in the `celery` command, which would show a traceback.
    """
    is_command = "celery.bin.celery" in sys.modules
    with exit_on_bad_configuration() if is_command else nullcontext():
        settings = load_settings()
    return {
        **_broker(settings),
        **_result_backend(settings),
        "accept_content": ["json"],
        "task_default_priority": CELERY_PRIORITIES[Priority.NORMAL],
        # A message is acknowledged once its task has ended, in whatever state.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # Applies to SIGQUIT, and to SIGTERM with REMAP_SIGTERM=SIGQUIT. A task that has not ended
        # by then goes back to its queue.
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
    backend = "celeryql.worker.result_backend.Backend"
    retry_policy = {
        "max_retries": 20,
        "interval_start": 0.05,
        "interval_step": 0.2,
        "interval_max": 1,
    }
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
