"""The worker's side of delivery: it says that it lives, what it does, and what it still holds."""

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
from celeryql.outages import refuses_writes
from celeryql.periodic_jobs import PeriodicJob
from celeryql.records import DEAF_AFTER_S, HEARTBEAT_S, KEY
from celeryql.scripts import SWEEP_PAUSE_S
from celeryql.settings import load_settings
from celeryql.worker.leases import Leases
from celeryql.worker.sweep import Sweeper

_TAKE_OVER_S = 1.0  # between two looks for what dead workers held
_FORGET_AFTER_S = 3_600  # a worker that has been gone for so long is listed no more


class Heartbeat(bootsteps.StartStopStep):
    """Beats from a thread every two seconds or less, so that solo workers beat while they work.

    It beats until the worker's process ends: during a warm shutdown, too, tasks run and are held.
    Between the beats it sweeps, gives back what dead workers held (pools of greenlets hardly ever
    reach the timers of kombu's event loop), and stops tasks that were canceled. A worker that
    cannot beat is not ready: it takes no messages before its first heartbeat is written.
    """

    requires: ClassVar = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **_: Any) -> None:  # noqa: ARG002  # Celery's signature
        self._stopped = threading.Event()
        self._has_beaten = threading.Event()
        self._channel: Any = None
        self._listened_at = time.monotonic()

    def start(self, worker: Any) -> None:
        """Begin to beat."""
        thread = threading.Thread(
            target=self._keep_up, args=(worker,), name="heartbeat", daemon=True
        )
        signals.worker_ready.connect(self._await_first_beat, weak=False)
        signals.worker_shutdown.connect(lambda **_: self._end(thread), weak=False)
        thread.start()

    def stop(self, worker: Any) -> None:
        """Do nothing yet: Celery stops the steps before the tasks have ended."""

    def _end(self, thread: threading.Thread) -> None:
        self._stopped.set()
        thread.join(timeout=HEARTBEAT_S)

    def _await_first_beat(self, **_: Any) -> None:
        # Celery calls this before it says that the worker is ready, and takes its first message.
        while not self._has_beaten.wait(SWEEP_PAUSE_S):
            state.maybe_shutdown()

    def _keep_up(self, worker: Any) -> None:
        job = PeriodicJob("keep up the heartbeat")
        while not self._stopped.is_set():
            with job.attempt():
                self._beat(worker)
            self._stopped.wait(job.pause_s)

    def _beat(self, worker: Any) -> None:
        settings = load_settings()
        client = redis.Redis.from_url(
            settings.redis_url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
        )
        # A message must be renewed well within the time after which it is redelivered.
        interval_s = min(HEARTBEAT_S, settings.visibility_timeout / 3)
        self._leases = Leases(client)
        renewal = PeriodicJob("renew what it holds", interval_s)
        stopping = PeriodicJob("stop what was canceled")
        taking_over = PeriodicJob("take over from dead workers", _TAKE_OVER_S)
        tell = partial(self._tell, client, worker, (renewal, stopping))
        rounds = [
            _Rounds(PeriodicJob("write the heartbeat", interval_s), tell),
            _Rounds(renewal, partial(self._renew, worker)),
            _Rounds(stopping, partial(_stop_canceled, client, worker)),
            _Rounds(taking_over, partial(self._take_over, client)),
            _Rounds(PeriodicJob("sweep"), Sweeper(client, settings).sweep),
        ]
        with client:
            while not self._stopped.is_set():
                for each in rounds:
                    each.do_if_due()
                self._stopped.wait(min(interval_s, SWEEP_PAUSE_S))
            with PeriodicJob("take its leave").attempt():
                self._take_leave(client, worker)

    def _deaf_s(self, worker: Any) -> float:
        """Tell for how long this worker has not asked for messages, though it had room for them."""
        consumer = worker.consumer
        if getattr(consumer, "task_consumer", None) is not None:  # else it has no connection
            self._channel = consumer.task_consumer.channel
        if self._channel is not None:
            sent_at = self._channel._brpop_sent_at or 0  # noqa: SLF001  # when it last asked
            self._listened_at = max(self._listened_at, sent_at)
            runs_all_it_can = len(_running()) >= worker.pool.num_processes
            is_busy = runs_all_it_can or not self._channel.qos.can_consume()
            is_told_so = (
                not self._channel.active_queues or consumer.blueprint.state != bootsteps.RUN
            )
            if is_busy or is_told_so:
                self._listened_at = time.monotonic()
        return time.monotonic() - self._listened_at

    def _renew(self, worker: Any) -> None:
        """Put off the redelivery of what this worker holds and runs, so that none is run twice.

        What a deaf worker holds, and will never run, is left to others.
        """
        is_deaf = self._deaf_s(worker) > DEAF_AFTER_S
        held = [] if is_deaf or self._channel is None else self._channel.qos.held
        self._leases.renew(worker.hostname, _running(), held)

    def _take_over(self, client: redis.Redis) -> None:
        if self._channel is not None and not self._channel.closed:
            self._channel.qos.restore_overdue(client)

    def _tell(self, client: redis.Redis, worker: Any, others: Iterable[PeriodicJob]) -> None:
        deaf_ms = int(self._deaf_s(worker) * 1_000)
        problems = {job.problem for job in others} - {None, REDIS_DOES_NOT_ANSWER}
        told = {"online": 1, "deaf_ms": deaf_ms, "ailment": "; ".join(map(str, problems))}
        try:
            _write(client, worker, told | _description(worker))
        except redis.RedisError as error:
            self._listened_at = time.monotonic()  # in an outage there is nothing to listen to
            if refuses_writes(error):  # running what waits may make room
                self._has_beaten.set()
            raise
        self._has_beaten.set()

    def _take_leave(self, client: redis.Redis, worker: Any) -> None:
        _write(client, worker, {"online": 0})  # the pool, which the rest describes, has gone
        self._leases.end(worker.hostname, _running())


def _running() -> list[str]:
    return [request.id for request in list(state.active_requests)]


class _Rounds:
    """A job that is done in turn with others, and each time only if it is due."""

    def __init__(self, job: PeriodicJob, do: Callable[[], None]) -> None:
        self._job, self._do = job, do
        self._due_at = 0.0

    def do_if_due(self) -> None:
        """Do it, if its time has come."""
        if (now := time.monotonic()) < self._due_at:
            return
        with self._job.attempt():
            self._do()
        self._due_at = now + self._job.pause_s


def _stop_canceled(client: redis.Redis, worker: Any) -> None:
    """Terminate what this worker runs and was told to stop (`lua/cancel.lua`)."""
    key = f"{KEY}terminate:{worker.hostname}"
    if not (canceled := client.smembers(key)):
        return
    # In the worker's own loop, which alone knows what a pool process runs now.
    worker.consumer.hub.call_soon(_terminate, canceled, worker.pool)
    client.srem(key, *canceled)


def _terminate(task_ids: set[str], pool: Any) -> None:
    for task_id in task_ids:
        if request := state.requests.get(task_id):  # else it has ended meanwhile
            request.terminate(pool)


def _write(client: redis.Redis, worker: Any, told: dict[str, Any]) -> None:
    seconds, microseconds = client.time()
    fields: Any = told | {"seen_at": seconds * 1_000 + microseconds // 1_000}
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
        "active": json.dumps(_running()),
        "processed": sum(state.total_count.values()),
        "rss_bytes": sum(_rss_bytes(member) for member in family),
    }


def _rss_bytes(process: psutil.Process) -> int:
    try:
        rss: int = process.memory_info().rss
    except psutil.NoSuchProcess:  # a pool process ended while we counted
        return 0
    return rss
