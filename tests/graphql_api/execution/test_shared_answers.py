"""Subscribers share an answer if they ask the same; nobody gets an answer meant for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any
from weakref import ref

from celeryql.records import Event
from graphql_api.auth.viewer import Viewer
from graphql_api.execution.shared_answers import SharingGroup
from tests.graphql_api.conftest import LocalClient
from tests.graphql_api.resolvers.test_subscriptions import newest

TASKS = """
query Cursor { tasks { cursor } }
fragment Named on Task { id }
subscription Named($after: EventCursor) { tasks(after: $after) { task { ...Named } } }
subscription Told($after: EventCursor, $full: Boolean = false) {
  tasks(after: $after) { task { state version @include(if: $full) } }
}
"""
HISTORY = """
subscription($after: EventCursor) { tasks(after: $after) { task { history { kind } } } }
"""
EVENT = '{"id": "a", "kind": "STATE", "at": "2026-01-01T00:00:00Z", "state": "QUEUED"}'
MUL = "mutation { enqueueMul(input: {x: 1, y: 2}) { ... on EnqueueMulSuccess { task { id } } } }"


async def mul(local_client: LocalClient) -> str:
    return (await local_client.execute(MUL))["enqueueMul"]["task"]["id"]


class Subscriber:
    """One live subscription, which has received one event."""

    def __init__(
        self, local_client: LocalClient, text: str, name: str | None = None, **variables: Any
    ) -> None:
        self._asked: Any = (text, variables, local_client.context)
        self._schema, self._name = local_client._api.schema, name

    async def begin(self, held: AsyncExitStack, after: str) -> None:
        text, variables, context = self._asked
        variables |= {"after": after}
        results = await self._schema.stream(text, variables, context, operation_name=self._name)
        self._results = await held.enter_async_context(aclosing(results))
        await anext(self._results)

    async def result(self) -> Any:
        return await anext(self._results)

    async def task(self) -> Any:
        return (await self.result()).data["tasks"]["task"]


@asynccontextmanager
async def live(local_client: LocalClient, *subscribers: Subscriber) -> AsyncIterator[None]:
    """Begin subscriptions after an older event, and let each receive the next one from Redis."""
    after = await newest(local_client)
    await mul(local_client)
    async with AsyncExitStack() as held, asyncio.timeout(20):
        for subscriber in subscribers:
            await subscriber.begin(held, after)
        yield


async def test_subscribers_with_the_same_operation_and_permissions_share_answers(client_for):
    ann, later = client_for("ann"), client_for("ann", expires_at=4e9)
    subscribers = Subscriber(ann, TASKS, "Told"), Subscriber(later, TASKS, "Told")
    async with live(ann, *subscribers):
        for _ in range(10):
            await ann.add()

        pairs = [(await subscribers[0].task(), await subscribers[1].task()) for _ in range(10)]

    assert all(one is other for one, other in pairs)


async def test_another_operation_or_variable_gets_its_own_answer(local_client):
    subscribers = [
        Subscriber(local_client, TASKS, "Named"),
        Subscriber(local_client, TASKS, "Told"),
        Subscriber(local_client, TASKS, "Told", full=True),
        Subscriber(local_client, TASKS.replace("{ id }", "{ key: id }"), "Named"),
    ]
    async with live(local_client, *subscribers):
        task_id = await local_client.add()

        tasks = [await subscriber.task() for subscriber in subscribers]

    assert tasks == [
        {"id": task_id}, {"state": "QUEUED"}, {"state": "QUEUED", "version": 1}, {"key": task_id},
    ]  # fmt: skip


async def test_a_token_limited_to_a_definition_gets_no_other_events(client_for):
    ann, limited = client_for("ann"), client_for("ann", definitions=frozenset({"mul"}))
    all_, few = Subscriber(ann, TASKS, "Named"), Subscriber(limited, TASKS, "Named")
    async with live(ann, all_, few):
        first, second = await ann.add(), await mul(ann)

        assert [await all_.task(), await all_.task()] == [{"id": first}, {"id": second}]
        assert await few.task() == {"id": second}


async def test_an_answer_that_reads_from_redis_is_executed_for_each_subscriber(local_client):
    one, other = Subscriber(local_client, HISTORY), Subscriber(local_client, HISTORY)
    async with live(local_client, one, other):
        await local_client.add()

        tasks = [await one.task(), await other.task()]

    assert tasks[0] == tasks[1]
    assert tasks[0] is not tasks[1]


def test_an_answer_is_freed_with_its_event():
    event, shown = Event.parse("1-0", EVENT), Viewer()
    group = SharingGroup("subscription { tasks { kind } }", None, {}, Viewer())
    group.add(event, shown)
    is_kept = ref(shown)
    del shown
    assert is_kept()

    del event

    assert is_kept() is None
