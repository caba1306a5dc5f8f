"""`/metrics` for Prometheus: the counters of this process, and the queues and workers in Redis."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from celeryql.engine import Engine
from celeryql.outages import OUTAGES, is_outage
from celeryql.records import WORKFLOW
from celeryql.state.durations import BOUNDS_MS, DurationCounts, TaskDurations, read_task_durations
from celeryql.watching.queues_and_workers import QueueStatus, WorkerStatus
from graphql_api.auth.trusted_hosts import is_trusted_host
from graphql_api.observability.metrics import Metrics

_REDIS_TIMEOUT_S = 0.8  # so that a scrape takes less than a second even without Redis
_BOUNDS = (*(str(bound / 1_000) for bound in BOUNDS_MS), "+Inf")

# Headers that proxies and content delivery networks add to the requests that they forward.
_FORWARDING_HEADER = re.compile(
    r"forwarded|^via$|^cdn-loop$|^cf-|^proxy-|^x-(amzn|azure|envoy|original|proxy|remote)-"
    r"|(real|client|connecting|cluster|user|remote)-?ip$"
)
_REFUSAL = (
    "Set METRICS_TOKEN and send it as a bearer token: without it, /metrics answers only requests "
    "from this machine, and only if neither authentication nor PROXY_HEADERS is on\n"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scrape(Collector):
    """The metrics of this process, and those in Redis, which are the same in every process."""

    process: CollectorRegistry
    queues: Sequence[QueueStatus] = ()
    workers: Sequence[WorkerStatus] = ()
    timings: Sequence[TaskDurations] = ()

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        yield from self.process.collect()
        yield from self._gauges()
        yield from self._histograms()

    def _gauges(self) -> list[Metric]:
        depth = GaugeMetricFamily(
            "celeryql_queue_depth", "Messages waiting in the broker.", labels=["queue"]
        )
        unacked = GaugeMetricFamily(
            "celeryql_queue_unacked", "Messages held by workers.", labels=["queue"]
        )
        online = GaugeMetricFamily(
            "celeryql_workers_online", "Workers that consume a queue.", labels=["queue"]
        )
        for queue in self.queues:
            depth.add_metric([queue.name], queue.depth)
            unacked.add_metric([queue.name], queue.unacked)
            consumers = sum(w.online and queue.name in w.queues for w in self.workers)
            online.add_metric([queue.name], consumers)
        reachable = GaugeMetricFamily(
            "celeryql_redis_reachable", "Whether Redis answered in time.", bool(self.queues)
        )
        return [reachable, depth, unacked, online]

    def _histograms(self) -> list[Metric]:
        waits = HistogramMetricFamily(
            "celeryql_task_wait_seconds",
            "Time from queueing a task to its first start.",
            labels=["definition"],
        )
        runs = HistogramMetricFamily(
            "celeryql_task_run_seconds",
            "Time from the start to the end of each run.",
            labels=["definition"],
        )
        for timings in self.timings:
            waits.add_metric([timings.definition], _buckets(timings.waits), timings.waits.sum_s)
            runs.add_metric([timings.definition], _buckets(timings.runs), timings.runs.sum_s)
        return [waits, runs]


def _buckets(durations: DurationCounts) -> list[tuple[str, float]]:
    return list(zip(_BOUNDS, durations.at_most, strict=True))


class MetricsEndpoint:
    """Serves `/metrics`."""

    def __init__(self, metrics: Metrics, engine: Engine, *, is_public: bool) -> None:
        """Serve the metrics of one process.

        Args:
            metrics: of this process.
            engine: reads the metrics in Redis.
            is_public: other machines can reach the API, so a local request may come from a proxy.
        """
        self._metrics = metrics
        self._engine = engine
        self._is_public = is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an authorized request within a second."""
        request = Request(scope, receive)
        if not self._is_authorized(request):
            await PlainTextResponse(_REFUSAL, 403)(scope, receive, send)
            return
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        answer = Response(encode(await self._collect()), headers={"Content-Type": media_type})
        await answer(scope, receive, send)

    def _is_authorized(self, request: Request) -> bool:
        token = self._engine.settings.metrics_token
        if token is not None:
            given = request.headers.get("authorization", "").encode()
            return secrets.compare_digest(given, f"Bearer {token.get_secret_value()}".encode())
        # A request from a proxy on this machine may come from anywhere. Not every proxy adds a
        # header (nginx does not by default), so a public API never trusts the address alone.
        is_forwarded = any(map(_FORWARDING_HEADER.search, request.headers))
        host = request.headers.get("host", "")
        return (
            not (self._is_public or is_forwarded)
            and request.client is not None
            and ipaddress.ip_address(request.client.host).is_loopback
            and is_trusted_host(host, self._engine.settings.allowed_hosts)
        )

    async def _collect(self) -> _Scrape:
        process, cluster = self._metrics.registry, self._engine.cluster_reader
        definitions = (*self._engine.definitions, WORKFLOW)
        try:
            async with asyncio.timeout(_REDIS_TIMEOUT_S):
                return _Scrape(
                    process,
                    await cluster.read_queues(self._engine.queues),
                    await cluster.read_workers(),
                    await read_task_durations(self._engine.redis, definitions),
                )
        except OUTAGES as error:
            if not is_outage(error):
                logger.exception("Cannot read the metrics in Redis")
            return _Scrape(process)
