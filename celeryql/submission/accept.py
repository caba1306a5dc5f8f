"""Accepts submissions: one call writes records, inputs, events and messages, or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
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
from celeryql.lua_functions import call_async, encode_request
from celeryql.outages import OUTAGES, is_outage
from celeryql.records import Cursor, Priority, Record, TaskId, TaskState
from celeryql.settings import Settings

ANSWER_TIMEOUT_S = 1.0  # an accept takes under a millisecond; past this Redis is in trouble
_KEY_REUSED, _THROTTLED, _STARTS_TOO_LATE = 2, 3, 4  # of `lua/functions/accept.lua`


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record as it is created; `lua/functions/accept.lua` adds the owner and times."""

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
    copied: dict[str, str] = field(default_factory=dict)  # fields that a retry copies unchanged

    def encode(self) -> dict[str, Any]:
        """Return the argument for the function: the fields of the hash, as text."""
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
        argument: dict[str, Any] = {"id": self.id, "fields": fields | self.copied}
        if self.input is not None:
            argument["input"] = self.input
        return argument


@dataclass(frozen=True)
class Submission:
    """Everything that is written when one task or workflow is accepted.

    Attributes:
        records: the task's; or the workflow's, then those of its steps.
        messages: the messages of the tasks that can start at once.
        content: JSON that is equal for equal submissions, for the idempotency key.
        workflow: the fields of its hash, and the signatures of the steps that wait.
        reused: Celery's result metas of the steps that do not run again, by id.
    """

    records: Sequence[NewRecord]
    messages: Sequence[CapturedMessage]
    options: EnqueueOptions
    content: Any
    workflow: dict[str, Any] | None = None
    reused: dict[TaskId, str] = field(default_factory=dict)

    def encode(self) -> dict[str, Any]:
        """Return the argument for the function, without fields that are None."""
        options = self.options
        argument = {
            "records": [record.encode() for record in self.records],
            "pushes": [message.encode() for message in self.messages],
            "workflow": self.workflow,
            "reused": list(self.reused),
            "idempotency_key": options.idempotency_key,
            "digest": None if options.idempotency_key is None else _content_digest(self.content),
            "start_at_ms": options.start_at and int(options.start_at.timestamp() * 1_000),
            "start_in_ms": options.start_in_s and int(options.start_in_s * 1_000),
            "expires_in_ms": options.expires_in_s and math.ceil(options.expires_in_s * 1_000),
        }
        return {name: value for name, value in argument.items() if value is not None}


def _content_digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Accepted:
    """An accepted submission.

    Attributes:
        record: the record of the task.
        deduplicated: whether it was accepted earlier, with the same idempotency key.
    """

    record: Record
    deduplicated: bool


@dataclass(frozen=True)
class AcceptResult:
    """The outcomes of several submissions.

    Attributes:
        cursor: the cursor of the last event before them.
        wait_s: seconds until the owner's rate has room for the input that was refused before; 0
            if it had room.
        outcomes: one for each submission, in order.
    """

    cursor: Cursor
    wait_s: float
    outcomes: list[Accepted | Refusal]


async def accept(
    redis: Redis,
    settings: Settings,
    owner: str,
    submissions: Sequence[Submission],
    *,
    refused: int = 0,
) -> AcceptResult:
    """Accept submissions, each as a whole or not at all, in one round trip.

    Args:
        redis: the client that writes.
        settings: the settings of the API.
        owner: the owner of the tasks.
        submissions: the tasks and workflows to accept.
        refused: how many tasks were refused before; they count against the owner's rate.

    Raises:
        Unavailable: Redis did not answer.
    """
    args = encode_call(settings, owner, submissions, refused)
    cursor, wait_ms, *answers = await call_once(redis, "accept", *args)
    pairs = zip(submissions, answers, strict=True)
    return AcceptResult(
        cursor,
        wait_ms / 1_000,
        [_outcome(submission.options, *answer) for submission, answer in pairs],
    )


def encode_call(
    settings: Settings, owner: str, submissions: Sequence[Submission], refused: int = 0
) -> list[str]:
    """Return the arguments for `lua/functions/accept.lua`."""
    request = encode_request(
        settings,
        owner=owner,
        requests=[submission.encode() for submission in submissions],
        refused=refused,
        enqueue_rate=settings.enqueue_rate,
        enqueue_burst=settings.enqueue_burst,
        max_waiting=settings.max_waiting,
    )
    arguments = [request]
    for submission in submissions:
        arguments += [message.payload for message in submission.messages]
        arguments += submission.reused.values()
    return arguments


def _outcome(options: EnqueueOptions, code: int, name: str, detail: Any) -> Accepted | Refusal:
    if code == _THROTTLED:
        return Throttled(name, detail / 1_000)
    if code == _STARTS_TOO_LATE:
        text = (
            "The task would expire before it starts: increase `expiresInSeconds` or choose an "
            "earlier `start`"
        )
        return InvalidInput([Problem(("options", "expires_in_seconds"), text)])
    record = Record.read(json.loads(detail))
    if code == _KEY_REUSED:
        return IdempotencyConflict(options.idempotency_key or "", record)
    return Accepted(record, deduplicated=bool(code))


async def call_once(redis: Redis, name: str, *args: str) -> Any:
    """Call a Lua function that writes, and never send it twice.

    Raises:
        Unavailable: Redis did not answer, so the function may have run; or it refused to write.
    """
    was_sent = False
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            # A failure to connect is known to have sent nothing, so connect first.
            pool = redis.connection_pool
            await pool.release(await pool.get_connection())
            was_sent = True
            return await call_async(redis, name, *args)
    except OUTAGES as error:
        if not is_outage(error):
            raise
        refused = isinstance(error, ResponseError)
        raise Unavailable(outcome_unknown=was_sent and not refused, refused=refused) from error
