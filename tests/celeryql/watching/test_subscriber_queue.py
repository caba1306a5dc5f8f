"""What waits for one subscriber: every state, the newest progress, and never too much."""

from __future__ import annotations

from celeryql.records import Event
from celeryql.watching.subscriber_queue import SubscriberQueue


def event(n: int, kind: str = "STATE", task_id: str = "a") -> Event:
    return Event(id=task_id, kind=kind, at=n, cursor=f"{n}-0", state="RUNNING", version=n)


async def test_progress_not_taken_yet_gives_way_to_newer():
    watcher = SubscriberQueue()

    for n, kind in enumerate(["STATE", "PROGRESS", "PROGRESS", "STATE", "PROGRESS"], 1):
        watcher.push(event(n, kind))
    events, missing_after = await watcher.take()

    assert [e.version for e in events] == [1, 4, 5]
    assert missing_after is None


async def test_progress_of_one_task_does_not_replace_that_of_another():
    watcher = SubscriberQueue()

    for n, task_id in enumerate("abab", 1):
        watcher.push(event(n, "PROGRESS", task_id))

    assert [e.version for e in (await watcher.take())[0]] == [3, 4]


async def test_what_was_taken_is_not_replaced():
    watcher = SubscriberQueue()

    watcher.push(event(1, "PROGRESS"))
    first, _ = await watcher.take()
    watcher.push(event(2, "PROGRESS"))
    second, _ = await watcher.take()

    assert [e.version for e in first + second] == [1, 2]


async def test_a_watcher_that_lags_too_far_keeps_the_beginning_and_says_where_it_ends():
    watcher = SubscriberQueue()

    for n in range(1, 3_001):
        watcher.push(event(n))
    events, missing_after = await watcher.take()

    assert [e.version for e in events] == list(range(1, 1_001))
    assert missing_after == "1000-0"


async def test_a_watcher_that_has_been_told_what_is_missing_takes_in_again():
    watcher = SubscriberQueue()
    watcher.push(event(1))
    watcher.stop_after("1-0")
    watcher.push(event(3))

    before = await watcher.take()
    watcher.push(event(4))
    after = await watcher.take()

    assert ([e.version for e in before[0]], before[1]) == ([1], "1-0")
    assert ([e.version for e in after[0]], after[1]) == ([4], None)
