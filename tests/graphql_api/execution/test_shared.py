"""Events that many watch: who asks the same shares an answer, and nobody gets another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from tests.graphql_api.conftest import Door
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
MUL = "mutation { enqueueMul(input: {x: 1, y: 2}) { ... on EnqueueMulSuccess { task { id } } } }"


async def mul(door: Door) -> str:
    return (await door.execute(MUL))["enqueueMul"]["task"]["id"]


class Watching:
    """One subscription that is live: it has been given the event before."""

    def __init__(self, door: Door, text: str, name: str | None = None, **variables: Any) -> None:
        self._asked: Any = (text, variables, door.context)
        self._schema, self._name = door._api.schema, name

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
async def live(door: Door, *watching: Watching) -> AsyncIterator[None]:
    """Begin subscriptions behind an event that each of them is given from what is kept."""
    after = await newest(door)
    await mul(door)
    async with AsyncExitStack() as held, asyncio.timeout(20):
        for each in watching:
            await each.begin(held, after)
        yield


async def test_who_asks_the_same_and_sees_the_same_shares_answers(door_of):
    ann, later = door_of("ann"), door_of("ann", expires_at=4e9)
    watching = Watching(ann, TASKS, "Told"), Watching(later, TASKS, "Told")
    async with live(ann, *watching):
        for _ in range(10):
            await ann.add()

        pairs = [(await watching[0].task(), await watching[1].task()) for _ in range(10)]

    assert all(one is other for one, other in pairs)


async def test_another_operation_or_variable_has_another_answer(door):
    watching = [
        Watching(door, TASKS, "Named"),
        Watching(door, TASKS, "Told"),
        Watching(door, TASKS, "Told", full=True),
        Watching(door, TASKS.replace("{ id }", "{ key: id }"), "Named"),
    ]
    async with live(door, *watching):
        task_id = await door.add()

        given = [await each.task() for each in watching]

    assert given == [
        {"id": task_id}, {"state": "QUEUED"}, {"state": "QUEUED", "version": 1}, {"key": task_id},
    ]  # fmt: skip


async def test_a_token_held_to_a_definition_gets_none_of_anothers_events(door_of):
    ann, held = door_of("ann"), door_of("ann", definitions=frozenset({"mul"}))
    all_, few = Watching(ann, TASKS, "Named"), Watching(held, TASKS, "Named")
    async with live(ann, all_, few):
        first, second = await ann.add(), await mul(ann)

        assert [await all_.task(), await all_.task()] == [{"id": first}, {"id": second}]
        assert await few.task() == {"id": second}


async def test_what_is_read_for_an_answer_is_read_for_each(door):
    one, other = Watching(door, HISTORY), Watching(door, HISTORY)
    async with live(door, one, other):
        await door.add()

        tasks = [await one.task(), await other.task()]

    assert tasks[0] == tasks[1]
    assert tasks[0] is not tasks[1]
