"""Counters and gauges of one app; two apps in one process do not share any.

`operation_metrics.py` counts operations, and `metrics_endpoint.py` serves the metrics.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_OPERATION = ["type", "operation"]


class Metrics:
    """The metrics of one app; their labels have few values, whatever clients send."""

    def __init__(self, *engine_histograms: Histogram) -> None:
        """Create the metrics.

        Args:
            engine_histograms: metrics that parts of the engine update themselves.
        """
        self.registry = CollectorRegistry()
        # `labels` is slow, so its result is cached for each combination.
        self.requests = cache(self._requests().labels)
        self.durations = cache(self._durations().labels)
        self.delivered = cache(self._delivered().labels)
        self.live_subscriptions = self._gauge(
            "celeryql_live_subscriptions", "Subscriptions that are open."
        )
        self.open_sockets = self._gauge(
            "celeryql_open_sockets", "WebSockets and HTTP streams that are open."
        )
        ProcessCollector(registry=self.registry)
        for histogram in engine_histograms:
            self.registry.register(histogram)

    def _requests(self) -> Counter:
        return Counter(
            "celeryql_graphql_requests",
            "GraphQL operations, by type, root field and outcome.",
            [*_OPERATION, "outcome"],
            registry=self.registry,
        )

    def _durations(self) -> Histogram:
        return Histogram(
            "celeryql_graphql_request_duration_seconds",
            "Durations of queries and mutations.",
            _OPERATION,
            registry=self.registry,
        )

    def _delivered(self) -> Counter:
        return Counter(
            "celeryql_events_delivered",
            "Events sent to subscribers, by subscription.",
            ["operation"],
            registry=self.registry,
        )

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, registry=self.registry)
