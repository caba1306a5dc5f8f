"""The schema in this process, on the engine's fixtures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from celeryql.settings import Settings
from celeryql.watching.cluster_poller import ClusterPoller
from graphql_api.auth.authenticator import Authenticator, Scope, Viewer
from graphql_api.context import Context, Services
from graphql_api.observability.metrics import Metrics
from graphql_api.schema import build_schema
from tests.celeryql.conftest import backend, engine, report, url

__all__ = ["backend", "engine", "report", "url"]  # fixtures


class Door:
    """Queries, mutations and subscriptions of one viewer, without a server."""

    def __init__(self, engine, viewer, settings=None, services=None):
        self._api, self._viewer = build_schema(), viewer
        self._services = services or services_of(engine, settings or Settings())
        self.metrics = self._services.metrics

    @property
    def context(self) -> Context:
        """What one operation has."""
        return Context(self._services, self._viewer)

    async def run(self, operation: str, **options: Any) -> ExecutionResult:
        """Run a query or mutation, and give all that came of it."""
        return await self._api.schema.execute(operation, context_value=self.context, **options)

    async def answer(self, operation: str, **variables: Any) -> tuple[Any, list[str]]:
        """Run a query or mutation, and give its data and the codes of its errors."""
        result = await self.run(operation, variable_values=variables)
        return result.data, codes(result)

    async def execute(self, operation: str, **variables: Any) -> dict[str, Any]:
        data, errors = await self.answer(operation, **variables)
        assert errors == []
        return data

    async def subscribe(self, operation: str, **variables: Any) -> AsyncIterator[Any]:
        """Subscribe, and give each event; an error ends it, as its code."""
        source = await self._api.schema.stream(operation, variables, self.context)
        async with aclosing(source):
            async for result in source:
                if errors := codes(result):
                    yield errors
                    return
                (event,) = result.data.values()
                yield event

    async def take(self, count: int, operation: str, **variables: Any) -> list[Any]:
        """Subscribe, and take so many events."""
        async with asyncio.timeout(10), aclosing(self.subscribe(operation, **variables)) as events:
            return [await anext(events) for _ in range(count)]

    async def add(self, *tags: str) -> str:
        """Enqueue a sum, and give its id."""
        data = await self.execute(
            "mutation($tags: [String!]) { enqueueAdd(input: {x: 1, y: 2}, options: {tags: $tags})"
            " { ... on EnqueueAddSuccess { task { id } } } }",
            tags=list(tags),
        )
        return data["enqueueAdd"]["task"]["id"]

    async def chain(self) -> tuple[str, list[str]]:
        """Enqueue (4 + 5 + 6) times 7, and give the workflow's id and its steps'."""
        steps = "{add: {x: 4, y: 5}}", "{add: {x: 6}}", "{mul: {y: 7}}"
        canvas = f"{{chain: [{' '.join(f'{{step: {{task: {step}}}}}' for step in steps)}]}}"
        data = await self.execute(
            f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}})"
            " { ... on EnqueueWorkflowSuccess { task { id steps { task { id } } } } } }"
        )
        task = data["enqueueWorkflow"]["task"]
        return task["id"], [step["task"]["id"] for step in task["steps"]]

    async def tell(self, operation: str, *meanwhile: Callable[[], Awaitable[Any]]) -> str:
        """Give all that is told of an operation: of a subscription, the first event.

        Until there is one, something else is done again and again.
        """
        if operation.startswith("subscription"):
            telling = asyncio.create_task(self._first(operation))
            async with asyncio.timeout(20):
                while not telling.done():
                    for act in meanwhile:
                        await act()
                    await asyncio.wait([telling], timeout=0.02)
            result = telling.result()
        else:
            result = await self._api.schema.execute(operation, {}, self.context)
        errors = [(error.message, error.extensions["code"]) for error in result.errors or []]
        return json.dumps([result.data, errors])

    async def _first(self, operation: str) -> Any:
        source = await self._api.schema.stream(operation, {}, self.context)
        async with aclosing(source):
            return await anext(source)


def codes(result: Any) -> list[str]:
    return [(error.extensions or {}).get("code", error.message) for error in result.errors or []]


def services_of(engine, settings: Settings) -> Services:
    """Give what one API process has."""
    return Services(engine, build_schema().present, Authenticator(settings), Metrics())


Doors = Callable[..., Door]


@pytest.fixture
def door_of(engine) -> Doors:
    """Make doors for those who came with a token: by default all may all but see others' tasks."""
    settings = Settings(auth_jwt_secret="a secret that is long enough for everyone")
    engine.cluster_poller = ClusterPoller(engine.cluster_reader, engine.queues, interval_s=0.05)
    services = services_of(engine, settings)

    def make(subject: str, *scopes: Scope, **narrowed: Any) -> Door:
        allowed = frozenset(scopes) or frozenset(Scope) - {Scope.ADMIN}
        viewer = Viewer(subject, **{"scopes": allowed} | narrowed)
        return Door(engine, viewer, services=services)

    return make


@pytest.fixture
def door(engine) -> Door:  # the fixture of this name
    engine.cluster_poller = ClusterPoller(engine.cluster_reader, engine.queues, interval_s=0.05)
    return Door(engine, Viewer())
