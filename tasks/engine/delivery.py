"""The worker's side of delivery: it says that it lives, what it does, and what it still holds."""

from __future__ import annotations

import json
import logging
import threading
import time
from functools import partial
from typing import Any, ClassVar

import psutil
import redis
from celery import bootsteps, signals
from celery.worker import state

from tasks.engine.records import HEARTBEAT_S, KEY
from tasks.engine.settings import load_settings

_FORGET_AFTER_S = 3_600  # a worker that has been gone for so long is listed no more

logger = logging.getLogger(__name__)


class Heartbeat(bootsteps.StartStopStep):
    """Beats from a thread every two seconds or less, so that solo workers beat while they work.

    It beats until the worker's process ends: during a warm shutdown, too, tasks run and are held.
    """

    requires: ClassVar = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **_: Any) -> None:  # noqa: ARG002  # Celery's signature
        self._stopped = threading.Event()
        self._qos: Any = None

    def start(self, worker: Any) -> None:
        """Begin to beat."""
        thread = threading.Thread(target=self._beat, args=(worker,), name="heartbeat", daemon=True)
        signals.worker_shutdown.connect(lambda **_: self._end(thread), weak=False)
        thread.start()

    def stop(self, worker: Any) -> None:
        """Do nothing yet: Celery stops the steps before the tasks have ended."""

    def _end(self, thread: threading.Thread) -> None:
        self._stopped.set()
        thread.join(timeout=HEARTBEAT_S)

    def _beat(self, worker: Any) -> None:
        settings = load_settings()
        client = redis.Redis.from_url(
            settings.redis_url, socket_timeout=2, socket_connect_timeout=2
        )
        # A message must be renewed well within the time after which it is redelivered.
        interval_s = min(HEARTBEAT_S, settings.visibility_timeout / 3)
        is_last = False
        while not is_last:
            is_last = self._stopped.is_set()
            for step in (self._renew, partial(_write, is_online=not is_last)):
                try:
                    step(client, worker)
                except Exception:  # a beat that fails must not be the last
                    logger.exception("Heartbeat failed")
            self._stopped.wait(interval_s)
        client.close()

    def _renew(self, client: redis.Redis, worker: Any) -> None:
        """Put off the redelivery of what this worker holds, so that no long task is run twice.

        kombu scores `unacked_index` by the host's time of delivery, and hands out again what is
        older than the visibility timeout, however alive its worker is.
        """
        consumer = getattr(worker.consumer, "task_consumer", None)
        if consumer is not None:  # else it has stopped consuming, and ends what it holds
            self._qos = consumer.channel.qos
        if self._qos is not None and (tags := list(self._qos._delivered)):  # noqa: SLF001
            client.zadd("unacked_index", dict.fromkeys(tags, time.time()), xx=True)


def _write(client: redis.Redis, worker: Any, *, is_online: bool) -> None:
    seconds, microseconds = client.time()
    fields: Any = {
        "online": int(is_online),
        "seen_at": seconds * 1_000 + microseconds // 1_000,
    }
    if is_online:  # the last beat comes after the pool has gone
        fields |= _description(worker)
    with client.pipeline() as pipe:
        pipe.hset(f"{KEY}worker:{worker.hostname}", mapping=fields)
        pipe.expire(f"{KEY}worker:{worker.hostname}", _FORGET_AFTER_S)
        pipe.zadd(f"{KEY}workers", {worker.hostname: seconds})
        pipe.zremrangebyscore(f"{KEY}workers", 0, seconds - _FORGET_AFTER_S)
        pipe.execute()


def _description(worker: Any) -> dict[str, Any]:
    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    return {
        "pool": type(worker.pool).__module__.rpartition(".")[2],
        "concurrency": worker.pool.num_processes,
        "queues": json.dumps(sorted(worker.app.amqp.queues.consume_from)),
        "active": json.dumps([request.id for request in list(state.active_requests)]),
        "processed": sum(state.total_count.values()),
        "rss_bytes": sum(_rss_bytes(member) for member in family),
    }


def _rss_bytes(process: psutil.Process) -> int:
    try:
        rss: int = process.memory_info().rss
    except psutil.NoSuchProcess:  # a pool process ended while we counted
        return 0
    return rss
