"""How operations are executed: as graphql-core does, with a leak of it closed."""

from __future__ import annotations

from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Forgets what it has memoised from one event of a subscription to the next.

    graphql-core 3.3.2 shares the memo of a subscription's selections among its events, and finds
    nothing of it again, because it is kept by the identity of lists that each event makes anew:
    2.6 kB an event, for as long as the subscription lasts.
    """

    def build_per_event_executor(self, payload: Any) -> Any:
        """Make the executor of one event."""
        executor = super().build_per_event_executor(payload)
        executor._relevant_sub_fields = {}  # noqa: SLF001  # there is no public way
        return executor
