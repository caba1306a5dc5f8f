"""What a subscription keeps while it lasts: nothing of the events it gave."""

from __future__ import annotations

import gc
from contextlib import aclosing

from graphql.execution.collect_fields import FieldDetails

from tasks.arithmetic import add

WATCH = "subscription($id: ID!) { task(id: $id) { kind task { id state version } } }"


def kept() -> int:
    gc.collect()
    return sum(type(found) is FieldDetails for found in gc.get_objects())


async def test_a_subscription_keeps_nothing_of_its_events(door, report):
    task_id = await door.add()
    async with aclosing(door.subscribe(WATCH, id=task_id)) as events:
        for _ in range(5):
            await anext(events)
            report(add, task_id, "RETRY", ValueError("again"))
        before = kept()
        for _ in range(100):
            await anext(events)
            report(add, task_id, "RETRY", ValueError("again"))

        assert kept() - before < 50
