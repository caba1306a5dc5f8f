"""Priorities on the broker: their numbers in messages, and the Redis list of each."""

from __future__ import annotations

from kombu.transport import redis

from celeryql.records import Priority

# kombu's own steps and 1, whose list has the name of the queue: see `queue_list`.
PRIORITY_STEPS = [0, 1, 3, 6, 9]
# On Redis 0 is taken first. `.delay()` without a priority uses NORMAL (`task_default_priority`).
CELERY_PRIORITIES = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 6}


def queue_list(queue: str, priority: int) -> str:
    """Return the name of the Redis list with a queue's messages of one priority.

    kombu uses the name of the queue for its highest priority, which is also its default. Here the
    normal priority has that name, because autoscalers and stock clients count and fill a queue
    under its own name. Workers read the other lists of stock clients too.
    """
    step = max(s for s in PRIORITY_STEPS if s <= priority)
    is_normal = step == CELERY_PRIORITIES[Priority.NORMAL]
    return queue if is_normal else f"{queue}{redis.Channel.sep}{step}"
