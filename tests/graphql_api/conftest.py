"""Clients that run operations in this process, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from strawberry.types import ExecutionResult

from celeryql.settings import Settings
from celeryql.watching.cluster_poller import ClusterPoller
from graphql_api.app import create_app
from graphql_api.auth.authenticator import Authenticator, Scope, Viewer
from graphql_api.execution.context import Context, Services
from graphql_api.observability.metrics import Metrics
from graphql_api.schema import build_schema
from tests.celeryql.conftest import backend, engine, report, url

__all__ = ["backend", "engine", "report", "url"]  # fixtures

PAGE = """
query Page($filter: TaskFilter, $first: Int, $after: String, $last: Int, $before: String) {
  tasks(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id } } nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


class LocalClient:
    """Runs operations of one viewer in this process."""

    def __init__(self, engine, viewer, settings=None, services=None):
        self._api, self._viewer = build_schema(), viewer
        self._services = services or services_of(engine, settings or Settings())
        self.metrics = self._services.metrics

    @property
    def context(self) -> Context:
        """A new context, as each operation gets one."""
        return Context(self._services, self._viewer)

    async def run(self, operation: str, **options: Any) -> ExecutionResult:
        """Run a query or mutation, and return its result."""
        return await self._api.schema.execute(operation, context_value=self.context, **options)

    async def answer(self, operation: str, **variables: Any) -> tuple[Any, list[str]]:
        """Run a query or mutation, and return its data and the codes of its errors."""
        result = await self.run(operation, variable_values=variables)
        return result.data, codes(result)

    async def execute(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation that has no errors, and return its data."""
        data, errors = await self.answer(operation, **variables)
        assert errors == []
        return data

    async def subscribe(self, operation: str, **variables: Any) -> AsyncIterator[Any]:
        """Subscribe and yield each event. An error ends the stream: its codes are the last item."""
        source = await self._api.schema.stream(operation, variables, self.context)
        async with aclosing(source):
            async for result in source:
                if errors := codes(result):
                    yield errors
                    return
                (event,) = result.data.values()
                yield event

    async def take(self, count: int, operation: str, **variables: Any) -> list[Any]:
        """Subscribe and return the first events."""
        async with asyncio.timeout(10), aclosing(self.subscribe(operation, **variables)) as events:
            return [await anext(events) for _ in range(count)]

    async def add(self, *tags: str) -> str:
        """Enqueue an addition, and return its id."""
        data = await self.execute(
            "mutation($tags: [String!]) { enqueueAdd(input: {x: 1, y: 2}, options: {tags: $tags})"
            " { ... on EnqueueAddSuccess { task { id } } } }",
            tags=list(tags),
        )
        return data["enqueueAdd"]["task"]["id"]

    async def chain(self) -> tuple[str, list[str]]:
        """Enqueue (4 + 5 + 6) * 7 as a chain, and return the ids of the workflow and its steps."""
        steps = "{add: {x: 4, y: 5}}", "{add: {x: 6}}", "{mul: {y: 7}}"
        canvas = f"{{chain: [{' '.join(f'{{step: {{task: {step}}}}}' for step in steps)}]}}"
        data = await self.execute(
            f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}})"
            " { ... on EnqueueWorkflowSuccess { task { id steps { task { id } } } } } }"
        )
        task = data["enqueueWorkflow"]["task"]
        return task["id"], [step["task"]["id"] for step in task["steps"]]

    async def full_answer(self, operation: str, *meanwhile: Callable[[], Awaitable[Any]]) -> str:
        """Return all that an operation answers, as JSON: data, messages and codes.

        A subscription answers with its first event; until then, `meanwhile` is called repeatedly.
        """
        if operation.startswith("subscription"):
            answering = asyncio.create_task(self._first(operation))
            async with asyncio.timeout(20):
                while not answering.done():
                    for act in meanwhile:
                        await act()
                    await asyncio.wait([answering], timeout=0.02)
            result = answering.result()
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
    """Return the services of an API process."""
    return Services(engine, build_schema().to_graphql, Authenticator(settings), Metrics())


ClientFactory = Callable[..., LocalClient]


@pytest.fixture
def client_for(engine) -> ClientFactory:
    """Make clients with a token. By default they have all scopes but ADMIN."""
    settings = Settings(auth_jwt_secret="a secret that is long enough for everyone")
    engine.cluster_poller = ClusterPoller(engine.cluster_reader, engine.queues, interval_s=0.05)
    services = services_of(engine, settings)

    def make(subject: str, *scopes: Scope, **limits: Any) -> LocalClient:
        allowed = frozenset(scopes) or frozenset(Scope) - {Scope.ADMIN}
        viewer = Viewer(subject, **{"scopes": allowed} | limits)
        return LocalClient(engine, viewer, services=services)

    return make


@pytest.fixture
def local_client(engine) -> LocalClient:
    """Return a client of the anonymous viewer, which has all scopes."""
    engine.cluster_poller = ClusterPoller(engine.cluster_reader, engine.queues, interval_s=0.05)
    return LocalClient(engine, Viewer())


class InProcessApi:
    """Sends HTTP requests to an API in this process."""

    def __init__(self, http):
        self._http = http

    async def answer(self, operation, **variables):
        # ASCII with escapes, so that lone surrogates can be sent, too.
        body = json.dumps({"query": operation, "variables": variables})
        headers = {"content-type": "application/json"}
        return (await self._http.post("/graphql", content=body, headers=headers)).json()

    async def execute(self, operation, **variables):
        answer = await self.answer(operation, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def add(self, count=1, tags=()):
        """Enqueue additions, and return their ids, newest first."""
        operation = (
            "mutation($tags: [String!]) { enqueueAdd(input: {x: 1, y: 2}, options: {tags: $tags})"
            " { ... on EnqueueAddSuccess { task { id } } } }"
        )
        answers = [await self.execute(operation, tags=list(tags)) for _ in range(count)]
        return [answer["enqueueAdd"]["task"]["id"] for answer in reversed(answers)]

    async def page(self, **arguments):
        """Read a page, and return its ids and its `pageInfo`."""
        tasks = (await self.execute(PAGE, **arguments))["tasks"]
        assert [edge["node"] for edge in tasks["edges"]] == tasks["nodes"]
        return [node["id"] for node in tasks["nodes"]], tasks["pageInfo"]


@pytest.fixture
async def api(empty_redis, redis_url):
    """Run an API in this process, with an empty Redis database."""
    application = create_app(Settings(redis_url=redis_url.removesuffix("0") + "1"))
    transport = ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        AsyncClient(transport=transport, base_url="http://api") as http,
    ):
        yield InProcessApi(http)
