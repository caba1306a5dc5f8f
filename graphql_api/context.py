"""What a resolver gets: who asks, the engine's parts, and loaders that batch reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.fastapi import BaseContext

from tasks.engine.engine import Engine
from tasks.engine.graph import Graph
from tasks.engine.records import Record
from tasks.engine.topology import QueueStatus, WorkerStatus


@dataclass(frozen=True)
class Viewer:
    """Who asks; without authentication everyone is `anonymous` and sees all."""

    subject: str = "anonymous"

    @property
    def sees_only(self) -> str | None:
        """Whose tasks this viewer sees; None for everyone's."""
        return None


#: Makes the GraphQL object of a record: of the type that was derived from its definition. Of a
#: step, the summary is of its workflow; of a workflow, its own; either as of an event.
Present = Callable[..., Any]


class Context(BaseContext):
    """One per HTTP request, one per socket.

    The loaders batch what one operation asks for at once and keep nothing: a socket lives through
    many events, and what it read before would be stale.
    """

    def __init__(self, engine: Engine, viewer: Viewer, present: Present) -> None:
        super().__init__()
        self.engine = engine
        self.viewer = viewer
        self.present = present
        store = engine.store
        self.records: DataLoader[str, Record | None] = DataLoader(store.get_many, cache=False)
        self.metas: DataLoader[str, dict[str, Any] | None] = DataLoader(store.metas, cache=False)
        self.inputs: DataLoader[str, dict[str, Any] | None] = DataLoader(store.inputs, cache=False)
        self.queues: DataLoader[str, QueueStatus] = DataLoader(engine.topology.queues, cache=False)
        self.workers: DataLoader[str, list[WorkerStatus]] = DataLoader(
            self._load_workers, cache=False
        )
        self.graphs: DataLoader[str, Graph | None] = DataLoader(store.graphs, cache=False)

    async def _load_workers(self, keys: list[str]) -> list[list[WorkerStatus]]:
        return [await self.engine.topology.workers()] * len(keys)


Info = strawberry.Info[Context, None]
