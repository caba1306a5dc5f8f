"""The heartbeat of a worker: it reports the worker's state and renews what the worker holds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import psutil
import redis
from celery import bootsteps, signals
from celery.worker import state

from celeryql.errors import REDIS_DOES_NOT_ANSWER
from celeryql.lua_functions import SWEEP_PAUSE_S
from celeryql.outages import refuses_writes
from celeryql.periodic_jobs import PeriodicJob
from celeryql.records import KEY
from celeryql.settings import load_settings
from celeryql.worker.health import DEAF_AFTER_S, HEARTBEAT_S
from celeryql.worker.leases import Leases
from celeryql.worker.sweep import Sweeper

_RESTORE_S = 1.0  # between two searches for messages of dead workers
_FORGET_AFTER_S = 3_600  # a worker that has been silent for this long is no longer listed


class Heartbeat(bootsteps.StartStopStep):
    """Writes a heartbeat at least every two seconds, until the worker's process ends.

    It runs in a thread, because a solo worker's own loop stands still while a task runs, and it
    goes on during a warm shutdown, because tasks still run then. The same thread sweeps, returns
    the messages of dead workers to their queues, and stops canceled tasks. kombu's event loop
    cannot do this: in pools of greenlets its timers hardly ever run.

    A worker takes no messages before its first heartbeat is written.
    """

    requires: ClassVar = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **_: Any) -> None:  # noqa: ARG002  # Celery's signature
        self._stopped = threading.Event()
        self._has_beaten = threading.Event()
        self._channel: Any = None
        self._consumed_at = time.monotonic()  # the worker asked for messages, or had no reason to

    def start(self, worker: Any) -> None:
        """Start the heartbeat thread; a ready worker waits for its first heartbeat."""
        thread = threading.Thread(
            target=self._run_until_stopped, args=(worker,), name="heartbeat", daemon=True
        )
        signals.worker_ready.connect(self._await_first_heartbeat, weak=False)
        signals.worker_shutdown.connect(lambda **_: self._end(thread), weak=False)
        thread.start()

    def stop(self, worker: Any) -> None:
        """Do nothing: Celery stops the boot steps before the running tasks have ended."""

    def _end(self, thread: threading.Thread) -> None:
        self._stopped.set()
        thread.join(timeout=HEARTBEAT_S)

    def _await_first_heartbeat(self, **_: Any) -> None:
        # Celery sends `worker_ready` before it logs "ready" and takes its first message.
        while not self._has_beaten.wait(SWEEP_PAUSE_S):
            state.maybe_shutdown()

    def _run_until_stopped(self, worker: Any) -> None:
        job = PeriodicJob("run the heartbeat")
        while not self._stopped.is_set():
            with job.attempt():
                self._run(worker)
            self._stopped.wait(job.pause_s)

    def _run(self, worker: Any) -> None:
        settings = load_settings()
        client = redis.Redis.from_url(
            settings.redis_url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
        )
        self._leases = Leases(client)
        # Messages must be renewed well before they would be redelivered.
        interval_s = min(HEARTBEAT_S, settings.visibility_timeout / 3)
        renewal = PeriodicJob("renew its leases", interval_s)
        stopping = PeriodicJob("stop canceled tasks")
        write = partial(self._write_heartbeat, client, worker, (renewal, stopping))
        jobs = [
            _ScheduledJob(PeriodicJob("write the heartbeat", interval_s), write),
            _ScheduledJob(renewal, partial(self._renew, worker)),
            _ScheduledJob(stopping, partial(_stop_canceled, client, worker)),
            _ScheduledJob(
                PeriodicJob("restore messages of dead workers", _RESTORE_S),
                partial(self._restore_overdue, client),
            ),
            _ScheduledJob(PeriodicJob("sweep"), Sweeper(client, settings).sweep),
        ]
        with client:
            while not self._stopped.is_set():
                for job in jobs:
                    job.run_if_due()
                self._stopped.wait(min(interval_s, SWEEP_PAUSE_S))
            with PeriodicJob("sign off").attempt():
                self._sign_off(client, worker)

    def _deaf_s(self, worker: Any) -> float:
        """Return for how long this worker has not asked for messages although it had room."""
        consumer = worker.consumer
        if getattr(consumer, "task_consumer", None) is not None:  # otherwise it is not connected
            self._channel = consumer.task_consumer.channel
        if self._channel is not None:
            asked_at = self._channel._brpop_sent_at or 0  # noqa: SLF001  # kombu has no other trace
            self._consumed_at = max(self._consumed_at, asked_at)
            is_full = len(_running_ids()) >= worker.pool.num_processes
            is_busy = is_full or not self._channel.qos.can_consume()
            is_paused = not self._channel.active_queues or consumer.blueprint.state != bootsteps.RUN
            if is_busy or is_paused:
                self._consumed_at = time.monotonic()
        return time.monotonic() - self._consumed_at

    def _renew(self, worker: Any) -> None:
        """Postpone the redelivery of what this worker runs and holds, so that nothing runs twice.

        A deaf worker will never run the messages that it holds, so other workers get those.
        """
        is_deaf = self._deaf_s(worker) > DEAF_AFTER_S
        held = [] if is_deaf or self._channel is None else self._channel.qos.held
        self._leases.renew(worker.hostname, _running_ids(), held)

    def _restore_overdue(self, client: redis.Redis) -> None:
        if self._channel is not None and not self._channel.closed:
            self._channel.qos.restore_overdue(client)

    def _write_heartbeat(
        self, client: redis.Redis, worker: Any, reported: Iterable[PeriodicJob]
    ) -> None:
        deaf_ms = int(self._deaf_s(worker) * 1_000)
        problems = {job.problem for job in reported} - {None, REDIS_DOES_NOT_ANSWER}
        fields = {"online": 1, "deaf_ms": deaf_ms, "ailment": "; ".join(map(str, problems))}
        try:
            _write(client, worker, fields | _description(worker))
        except redis.RedisError as error:
            self._consumed_at = time.monotonic()  # nobody can consume during an outage
            if refuses_writes(error):  # then running the waiting tasks may make room
                self._has_beaten.set()
            raise
        self._has_beaten.set()

    def _sign_off(self, client: redis.Redis, worker: Any) -> None:
        _write(client, worker, {"online": 0})  # no description: the pool has gone
        self._leases.end(worker.hostname, _running_ids())


class _ScheduledJob:
    """One of several jobs that a thread runs in turn, each when it is due."""

    def __init__(self, job: PeriodicJob, do: Callable[[], None]) -> None:
        self._job, self._do = job, do
        self._due_at = 0.0

    def run_if_due(self) -> None:
        """Run the job once if it is due."""
        if (now := time.monotonic()) < self._due_at:
            return
        with self._job.attempt():
            self._do()
        self._due_at = now + self._job.pause_s


def _running_ids() -> list[str]:
    return [request.id for request in list(state.active_requests)]


def _stop_canceled(client: redis.Redis, worker: Any) -> None:
    """Terminate running tasks that `lua/functions/cancel.lua` has listed for this worker."""
    key = f"{KEY}terminate:{worker.hostname}"
    if not (canceled := client.smembers(key)):
        return
    # In the worker's own loop: only there is it known which pool process runs what.
    worker.consumer.hub.call_soon(_terminate, canceled, worker.pool)
    client.srem(key, *canceled)


def _terminate(task_ids: set[str], pool: Any) -> None:
    for task_id in task_ids:
        if request := state.requests.get(task_id):  # otherwise the task has just ended
            request.terminate(pool)


def _write(client: redis.Redis, worker: Any, fields: dict[str, Any]) -> None:
    seconds, microseconds = client.time()
    heartbeat: Any = fields | {"seen_at": seconds * 1_000 + microseconds // 1_000}
    with client.pipeline() as pipe:
        pipe.hset(f"{KEY}worker:{worker.hostname}", mapping=heartbeat)
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
        "active": json.dumps(_running_ids()),
        "processed": sum(state.total_count.values()),
        "rss_bytes": sum(_rss_bytes(member) for member in family),
    }


def _rss_bytes(process: psutil.Process) -> int:
    try:
        rss: int = process.memory_info().rss
    except psutil.NoSuchProcess:  # a pool process ended in the meantime
        return 0
    return rss
