"""Leases: a worker's runs are its own for as long as it renews them.

So a message that is delivered again, while the run that it started lives, is not run twice.
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

from celeryql.broker.captured_messages import CELERY_PRIORITIES, from_kombu
from celeryql.broker.transport import push
from celeryql.records import Priority
from celeryql.scripts import request as script_request
from celeryql.scripts import source
from celeryql.settings import load_settings


class Leases:
    """The leases of the workers, over one client."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._script = client.register_script(source("lease"))

    def renew(self, worker: str, ids: Iterable[str], tags: Iterable[str]) -> None:
        """Keep what a worker runs, and the messages it holds, from being given to another."""
        self._set(worker, ids, tags, load_settings().visibility_timeout * 1_000)

    def end(self, worker: str, ids: Iterable[str]) -> None:
        """Let another run at once what this worker runs no more."""
        self._set(worker, ids, (), 0)

    def _set(self, worker: str, ids: Iterable[str], tags: Iterable[str], lease_ms: int) -> None:
        content: dict[str, Any] = {"worker": worker, "ids": list(ids), "tags": list(tags)}
        if content["ids"] or content["tags"]:
            self._script(args=[script_request(load_settings(), lease_ms=lease_ms, **content)])

    def hold_back(self, request: Context, until_ms: int) -> None:
        """Keep a message until the run that lives must have ended, or have lost its worker.

        Args:
            request: of the message, which the caller then drops.
            until_ms: when that is, in milliseconds since 1970.
        """
        held: Any = self._client.hget("unacked", request.properties["delivery_tag"])
        if held is None:  # it has been given back itself
            return
        message, _, queue = loads(bytes_to_str(held))
        # By its old tag it is about to be acknowledged.
        message["properties"]["delivery_tag"] = str(uuid4())
        priority = message["properties"].get("priority", CELERY_PRIORITIES[Priority.NORMAL])
        copy = replace(from_kombu(queue, priority, message), due_ms=until_ms)
        push(self._client, copy, is_spare=True)
