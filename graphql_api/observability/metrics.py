"""What one API process counts; one for each app, so that two in a process do not share any.

`metering.py` counts operations, and `scrape.py` answers with all of it.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_OPERATION = ["type", "operation"]


class Metrics:
    """The counters of one app; the values of their labels are few, whatever clients send."""

    def __init__(self, *more: Histogram) -> None:
        """Begin to count.

        Args:
            more: what parts of the engine count themselves.
        """
        self.registry = CollectorRegistry()
        requests = Counter(
            "celeryql_graphql_requests",
            "GraphQL operations, by type, field that they begin with, and outcome.",
            [*_OPERATION, "outcome"],
            registry=self.registry,
        )
        durations = Histogram(
            "celeryql_graphql_request_duration_seconds",
            "How long queries and mutations took.",
            _OPERATION,
            registry=self.registry,
        )
        delivered = Counter(
            "celeryql_events_delivered",
            "Events that subscribers were answered, by subscription.",
            ["operation"],
            registry=self.registry,
        )
        self.live_subscriptions = Gauge(
            "celeryql_live_subscriptions",
            "Subscriptions that go on.",
            registry=self.registry,
        )
        self.open_sockets = Gauge(
            "celeryql_open_sockets",
            "WebSockets and streams that are open.",
            registry=self.registry,
        )
        # Each with its labels is found once: looking for it takes longer than counting.
        self.requests = cache(requests.labels)
        self.durations = cache(durations.labels)
        self.delivered = cache(delivered.labels)
        ProcessCollector(registry=self.registry)
        for histogram in more:
            self.registry.register(histogram)
