"""Events that many watch: who asks the same shares an answer, and nobody gets another's."""

from __future__ import annotations

from contextlib import aclosing

from graphql_api.recent import Recent
from tasks.arithmetic import add
from tests.graphql_api.test_subscriptions import newest, run

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


async def answers(door, operation, count, name=None, **variables):
    """Subscribe, and give the very objects that come."""
    schema, context = door._api.schema, door.context
    source = await schema.stream(operation, variables, context, operation_name=name)
    async with aclosing(source):
        return [(await anext(source)).data["tasks"]["task"] for _ in range(count)]


async def test_who_asks_the_same_and_sees_the_same_shares_answers(door_of, report):
    ann = door_of("ann")
    after = await newest(ann)
    run(report, await ann.add())

    first = await answers(ann, TASKS, 3, "Told", after=after)
    second = await answers(door_of("ann", expires_at=4e9), TASKS, 3, "Told", after=after)

    assert [id(task) for task in first] == [id(task) for task in second]


async def test_another_operation_or_variable_has_another_answer(door, report):
    after = await newest(door)
    task_id = await door.add()

    given = [
        await answers(door, TASKS, 1, "Named", after=after),
        await answers(door, TASKS, 1, "Told", after=after),
        await answers(door, TASKS, 1, "Told", after=after, full=True),
        await answers(door, TASKS.replace("{ id }", "{ key: id }"), 1, "Named", after=after),
    ]

    assert given == [
        [{"id": task_id}], [{"state": "QUEUED"}], [{"state": "QUEUED", "version": 1}],
        [{"key": task_id}],
    ]  # fmt: skip


async def test_a_token_held_to_some_tasks_gets_none_of_anothers_events(door_of):
    ann = door_of("ann")
    after = await newest(ann)
    first, second, third = await ann.add(), await ann.add(), await ann.add()

    everything = await answers(ann, TASKS, 3, "Named", after=after)
    held = door_of("ann", task_ids=frozenset({first, third}))

    assert everything == [{"id": id_} for id_ in (first, second, third)]
    assert await answers(held, TASKS, 2, "Named", after=after) == [{"id": first}, {"id": third}]


async def test_what_is_read_for_an_answer_is_read_for_each(door, report):
    after = await newest(door)
    task_id = await door.add()
    before = await answers(door, HISTORY, 1, after=after)
    report(add, task_id, "STARTED")
    later = await answers(door, HISTORY, 1, after=after)

    assert [len(task["history"]) for task in before + later] == [1, 2]


def test_only_the_last_values_are_kept():
    recent = Recent(most=3)
    for key in "abc":
        recent.keep(key, key.upper())
    recent.find("a")
    recent.keep("d", "D")

    assert [recent.find(key) for key in "abcd"] == ["A", None, "C", "D"]
