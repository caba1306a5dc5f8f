"""Accepting: one script writes records, inputs, events and messages, all or nothing, or refuses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from celeryql.broker.captured_messages import CapturedMessage
from celeryql.definition.options import EnqueueOptions
from celeryql.errors import (
    IdempotencyConflict,
    InvalidInput,
    Problem,
    Refusal,
    Throttled,
    Unavailable,
)
from celeryql.outages import OUTAGES, is_outage
from celeryql.records import Cursor, Priority, Record, TaskId, TaskState
from celeryql.scripts import request
from celeryql.settings import Settings

ANSWER_TIMEOUT_S = 1.0  # an accept takes under a millisecond; past this Redis is in trouble
_SEEN_WITH_OTHER_INPUT, _THROTTLED, _STARTS_TOO_LATE = 2, 3, 4  # what `lua/accept.lua` answers


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record as it is first written; `lua/accept.lua` adds owner and times."""

    id: str
    root: str
    definition: str
    state: TaskState = TaskState.QUEUED
    attempt: int = 0
    key: str | None = None
    queue: str | None = None
    feeds: int | None = None
    tags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    max_attempts: int | None = None
    retry_of: str | None = None
    input: str | None = None  # JSON
    kept: dict[str, str] = field(default_factory=dict)  # what a retry takes over as it was

    def to_script(self) -> dict[str, Any]:
        """Give what the script takes: fields of the hash, as text."""
        fields = {
            "root": self.root,
            "definition": self.definition,
            "state": self.state,
            "attempt": str(self.attempt),
            "priority": self.priority,
        }
        for name in ("key", "queue", "feeds", "max_attempts", "retry_of"):
            if (value := getattr(self, name)) is not None:
                fields[name] = str(value)
        if self.tags:
            fields["tags"] = json.dumps(self.tags)
        planned: dict[str, Any] = {"id": self.id, "fields": fields | self.kept}
        if self.input is not None:
            planned["input"] = self.input
        return planned


@dataclass(frozen=True)
class Submission:
    """Everything of one task or workflow that is written when it is accepted.

    Attributes:
        records: that of the task, or of the workflow and then of its steps.
        messages: what can start at once.
        content: what makes it the same as another, for the idempotency key; JSON.
        workflow: fields of its hash, and signatures of the steps that wait.
        reused: result metas of steps that need not run again, by id.
    """

    records: Sequence[NewRecord]
    messages: Sequence[CapturedMessage]
    options: EnqueueOptions
    content: Any
    workflow: dict[str, Any] | None = None
    reused: dict[TaskId, str] = field(default_factory=dict)

    def to_script(self) -> dict[str, Any]:
        """Give what the script takes; what is None is left out."""
        options = self.options
        planned = {
            "records": [record.to_script() for record in self.records],
            "pushes": [message.push() for message in self.messages],
            "workflow": self.workflow,
            "reused": list(self.reused),
            "idempotency_key": options.idempotency_key,
            "digest": None if options.idempotency_key is None else _content_digest(self.content),
            "start_at_ms": options.start_at and int(options.start_at.timestamp() * 1_000),
            "start_in_ms": options.start_in_s and int(options.start_in_s * 1_000),
            "expires_in_ms": options.expires_in_s and math.ceil(options.expires_in_s * 1_000),
        }
        return {name: value for name, value in planned.items() if value is not None}


def _content_digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Accepted:
    """The answer to an accepted request; `deduplicated` where the task is an earlier one."""

    record: Record
    deduplicated: bool


@dataclass(frozen=True)
class AcceptResult:
    """What came of several requests, in their order.

    Attributes:
        cursor: of the last event before them.
        wait_s: seconds until the owner's rate has room for input that was refused before; 0 if it
            has taken its place.
    """

    cursor: Cursor
    wait_s: float
    outcomes: list[Accepted | Refusal]


async def accept(
    script: AsyncScript,
    settings: Settings,
    owner: str,
    requests: Sequence[Submission],
    *,
    refused: int = 0,
) -> AcceptResult:
    """Accept requests, each whole or not at all, in one round trip.

    Args:
        script: `lua/accept.lua`.
        settings: of the API.
        owner: to whom the tasks belong.
        requests: what is to be accepted.
        refused: how many tasks were refused before, which count against the owner's rate.

    Raises:
        Unavailable: Redis did not answer.
    """
    args = script_args(settings, owner, requests, refused)
    cursor, wait_ms, *answers = await run_script(script, args)
    pairs = zip(requests, answers, strict=True)
    return AcceptResult(
        cursor, wait_ms / 1_000, [_outcome(asked.options, *answer) for asked, answer in pairs]
    )


def script_args(
    settings: Settings, owner: str, requests: Sequence[Submission], refused: int = 0
) -> list[str]:
    """Give what `lua/accept.lua` is called with."""
    asked_for = request(
        settings,
        owner=owner,
        requests=[asked.to_script() for asked in requests],
        refused=refused,
        enqueue_rate=settings.enqueue_rate,
        enqueue_burst=settings.enqueue_burst,
        max_waiting=settings.max_waiting,
    )
    arguments = [asked_for]
    for asked in requests:
        arguments += [*(message.payload for message in asked.messages), *asked.reused.values()]
    return arguments


def _outcome(options: EnqueueOptions, code: int, name: str, more: Any) -> Accepted | Refusal:
    if code == _THROTTLED:
        return Throttled(name, more / 1_000)
    if code == _STARTS_TOO_LATE:
        text = "It would expire before it starts: give it longer, or start it earlier"
        return InvalidInput([Problem(("options", "expires_in_seconds"), text)])
    record = Record.read(json.loads(more))
    if code == _SEEN_WITH_OTHER_INPUT:
        return IdempotencyConflict(options.idempotency_key or "", record)
    return Accepted(record, deduplicated=bool(code))


async def run_script(script: AsyncScript, args: list[str]) -> Any:
    """Run a script that writes, once.

    Raises:
        Unavailable: Redis did not answer; it may still have done it, or it says that it has not.
    """
    has_left = False
    redis = script.registered_client
    assert isinstance(redis, Redis)  # noqa: S101  # no cluster: kombu knows none either
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            # Connecting first tells a request that never left from one that may have landed.
            pool = redis.connection_pool
            await pool.release(await pool.get_connection())
            has_left = True
            return await script(args=args)
    except OUTAGES as error:
        if not is_outage(error):
            raise
        refused = isinstance(error, ResponseError)
        raise Unavailable(outcome_unknown=has_left and not refused, refused=refused) from error
