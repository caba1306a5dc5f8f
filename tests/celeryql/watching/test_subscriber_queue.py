"""The queue of a subscriber has every state, the newest progress, and a bound."""

from __future__ import annotations

from celeryql.records import Event
from celeryql.watching.subscriber_queue import SubscriberQueue


def event(n: int, kind: str = "STATE", task_id: str = "a") -> Event:
    return Event(id=task_id, kind=kind, at=n, cursor=f"{n}-0", state="RUNNING", version=n)


async def test_newer_progress_replaces_queued_progress():
    queue = SubscriberQueue()

    for n, kind in enumerate(["STATE", "PROGRESS", "PROGRESS", "STATE", "PROGRESS"], 1):
        queue.push(event(n, kind))
    events, missing_after = await queue.take()

    assert [e.version for e in events] == [1, 4, 5]
    assert missing_after is None


async def test_progress_of_one_task_does_not_replace_progress_of_another():
    queue = SubscriberQueue()

    for n, task_id in enumerate("abab", 1):
        queue.push(event(n, "PROGRESS", task_id))

    assert [e.version for e in (await queue.take())[0]] == [3, 4]


async def test_progress_that_was_taken_is_not_replaced():
    queue = SubscriberQueue()

    queue.push(event(1, "PROGRESS"))
    first, _ = await queue.take()
    queue.push(event(2, "PROGRESS"))
    second, _ = await queue.take()

    assert [e.version for e in first + second] == [1, 2]


async def test_a_full_queue_keeps_the_oldest_events_and_reports_where_they_end():
    queue = SubscriberQueue()

    for n in range(1, 3_001):
        queue.push(event(n))
    events, missing_after = await queue.take()

    assert [e.version for e in events] == list(range(1, 1_001))
    assert missing_after == "1000-0"


async def test_a_stopped_queue_accepts_events_again_after_it_was_taken():
    queue = SubscriberQueue()
    queue.push(event(1))
    queue.mark_incomplete_after("1-0")
    queue.push(event(3))

    before = await queue.take()
    queue.push(event(4))
    after = await queue.take()

    assert ([e.version for e in before[0]], before[1]) == ([1], "1-0")
    assert ([e.version for e in after[0]], after[1]) == ([4], None)
