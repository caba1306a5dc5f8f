"""Leases: a worker owns the runs that it has started for as long as it renews their leases.

A message that is redelivered while its run is live is therefore not run twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import redis
from celery.app.task import Context
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from celeryql.broker.captured_messages import CapturedMessage
from celeryql.broker.priorities import CELERY_PRIORITIES
from celeryql.broker.transport import push
from celeryql.lua_functions import call, encode_request
from celeryql.records import Priority
from celeryql.settings import load_settings


class Leases:
    """Renews and ends leases, and postpones messages whose task has a live run."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def renew(self, worker: str, ids: Iterable[str], tags: Iterable[str]) -> None:
        """Keep the tasks that a worker runs, and the messages that it holds, from other workers."""
        self._set(worker, ids, tags, load_settings().visibility_timeout * 1_000)

    def end(self, worker: str, ids: Iterable[str]) -> None:
        """Let other workers start these tasks at once."""
        self._set(worker, ids, (), 0)

    def _set(self, worker: str, ids: Iterable[str], tags: Iterable[str], lease_ms: int) -> None:
        content: dict[str, Any] = {"worker": worker, "ids": list(ids), "tags": list(tags)}
        if content["ids"] or content["tags"]:
            request = encode_request(load_settings(), lease_ms=lease_ms, **content)
            call(self._client, "renew_leases", request)

    def postpone(self, request: Context, until_ms: int) -> None:
        """Schedule a copy of a message for when the lease of the live run ends.

        Args:
            request: of the message, which the caller then drops.
            until_ms: when the copy is sent, in milliseconds since 1970.
        """
        held: Any = self._client.hget("unacked", request.properties["delivery_tag"])
        if held is None:  # the message itself was restored to its queue
            return
        message, _, queue = loads(bytes_to_str(held))
        # A new tag, because the message is about to be acknowledged under its old one.
        message["properties"]["delivery_tag"] = str(uuid4())
        priority = message["properties"].get("priority", CELERY_PRIORITIES[Priority.NORMAL])
        copy = replace(CapturedMessage.from_kombu(queue, priority, message), due_ms=until_ms)
        push(self._client, copy, is_spare=True)
