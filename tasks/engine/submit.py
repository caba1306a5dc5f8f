"""The only door to the broker: a task and its message are accepted together, or not at all.

Celery and kombu build the messages without connecting; one Lua script writes the records and pushes
the messages. So "accepted" and "in the broker" are the same instant.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kombu.connection import Connection
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tasks.engine.canvas import PlannedStep, Workflow
from tasks.engine.errors import (
    OUTAGES,
    IdempotencyConflict,
    InvalidInput,
    Problem,
    Unavailable,
    is_outage,
)
from tasks.engine.records import WORKFLOW, Record, TaskState
from tasks.engine.scripts import source
from tasks.engine.settings import Settings
from tasks.engine.transport import CollectingTransport, Message, close_collector, open_collector
from tasks.engine.typed import Arguments, TaskDefinition

ANSWER_TIMEOUT_S = 1.0  # an accept takes under a millisecond; past this Redis is in trouble
MAX_WORKFLOW_BYTES = 4_000_000  # each message of a chain carries what is left of the chain
_BUILD_IN_THREAD_ABOVE = 50  # steps; building takes 0.3 ms each and would hold the event loop

_SEEN_WITH_OTHER_INPUT = 2  # what `lua/accept.lua` answers


@dataclass(frozen=True)
class Options:
    """What a caller may ask of one task beside its arguments."""

    idempotency_key: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class _NewRecord:
    """A record as it is first written; `lua/accept.lua` adds owner and time."""

    id: str
    root: str
    definition: str
    state: TaskState = TaskState.QUEUED
    key: str | None = None
    queue: str | None = None
    tags: tuple[str, ...] = ()
    input: dict[str, Any] | None = None

    def plan(self) -> dict[str, Any]:
        """Give what the script takes: fields and values in turn, for HSET."""
        fields = ["celery_state", "PENDING", "attempt", "0"]
        for name in ("root", "definition", "state", "key", "queue"):
            if value := getattr(self, name):
                fields += [name, value]
        if self.tags:
            fields += ["tags", json.dumps(self.tags)]
        shown = None if self.input is None else json.dumps(self.input)
        return {"id": self.id, "fields": fields, "input": shown}


@dataclass(frozen=True)
class Accepted:
    """The answer to an accepted request; `deduplicated` where the task is an earlier one."""

    record: Record
    deduplicated: bool


class Submitter:
    """Accepts tasks and workflows for one installation."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._script = redis.register_script(source("accept"))
        self._connection = Connection("memory://", transport=CollectingTransport)

    async def enqueue(
        self, definition: TaskDefinition, arguments: Arguments, options: Options, owner: str
    ) -> Accepted:
        """Accept one task.

        Raises:
            IdempotencyConflict: the key was used for another input.
            Unavailable: Redis did not answer.
        """
        task_id = str(uuid4())
        kwargs = arguments.model_dump(mode="json")
        open_collector()
        definition.task.apply_async(kwargs=kwargs, task_id=task_id, connection=self._connection)
        messages = close_collector()
        shown = definition.public(arguments)
        record = _NewRecord(task_id, task_id, definition.name, tags=options.tags, input=shown)
        record.queue = messages[0].queue
        return await self._accept([record], messages, options, owner, [definition.name, kwargs])

    async def enqueue_workflow(self, workflow: Workflow, options: Options, owner: str) -> Accepted:
        """Accept a whole workflow: graph, records of all steps, first messages.

        Raises:
            InvalidInput: its messages would be too large.
            IdempotencyConflict: the key was used for another canvas.
            Unavailable: Redis did not answer.
        """
        if len(workflow.steps) > _BUILD_IN_THREAD_ABOVE:
            messages = await asyncio.to_thread(self._build, workflow)
        else:
            messages = self._build(workflow)
        if sum(len(message.payload) for message in messages) > MAX_WORKFLOW_BYTES:
            text = f"Its messages would exceed {MAX_WORKFLOW_BYTES:,} bytes: split it"
            raise InvalidInput([Problem(("input", "canvas"), text)])
        records = _workflow_records(workflow, {message.task_id for message in messages}, options)
        content = [workflow.name, *[_content(planned) for planned in workflow.steps]]
        return await self._accept(records, messages, options, owner, content, workflow)

    def _build(self, workflow: Workflow) -> list[Message]:
        open_collector()
        workflow.dispatch(connection=self._connection)
        return close_collector()

    async def _accept(
        self,
        records: list[_NewRecord],
        messages: list[Message],
        options: Options,
        owner: str,
        content: Any,
        workflow: Workflow | None = None,
    ) -> Accepted:
        plan = {
            "records": [record.plan() for record in records],
            "pushes": [message.queue_list for message in messages],
            "workflow": workflow and {"id": workflow.id, "fields": _graph(workflow, records)},
            "owner": owner,
            "idempotency_key": options.idempotency_key,
            "digest": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            "events_kept": str(self._settings.events_kept),
        }
        payloads = [message.payload for message in messages]
        code, task_id, flat = await self._run_script([json.dumps(plan), *payloads])
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        record = Record.model_validate(fields | {"id": task_id})
        if code == _SEEN_WITH_OTHER_INPUT:
            raise IdempotencyConflict(options.idempotency_key or "", record)
        return Accepted(record, deduplicated=bool(code))

    async def _run_script(self, args: list[str]) -> Any:
        has_left = False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                # Connecting first tells a request that never left from one that may have landed.
                pool = self._redis.connection_pool
                await pool.release(await pool.get_connection())
                has_left = True
                return await self._script(args=args)
        except OUTAGES as error:
            if not is_outage(error):
                raise
            refused = isinstance(error, ResponseError)
            raise Unavailable(outcome_unknown=has_left and not refused, refused=refused) from error


def _content(planned: PlannedStep) -> list[Any]:
    """Say what makes a step the same as another, for the idempotency key."""
    node = planned.node
    return [planned.step.key, node.definition.name, node.given, node.tags, planned.step.depends_on]


def _workflow_records(workflow: Workflow, sent: set[str], options: Options) -> list[_NewRecord]:
    records = [_NewRecord(workflow.id, workflow.id, WORKFLOW, tags=options.tags)]
    for planned in workflow.steps:
        definition = planned.node.definition
        record = _NewRecord(planned.step.id, workflow.id, definition.name, tags=planned.node.tags)
        record.state = TaskState.QUEUED if record.id in sent else TaskState.WAITING
        record.key = planned.step.key
        record.queue = definition.queue
        record.input = planned.known_input
        records.append(record)
    return records


def _graph(workflow: Workflow, records: list[_NewRecord]) -> list[str]:
    graph = json.dumps([planned.step.model_dump() for planned in workflow.steps])
    states = [record.state for record in records[1:]]
    fields = ["graph", graph, "total", str(len(states))]
    for state in sorted(set(states)):
        fields += [state, str(states.count(state))]
    return fields + (["name", workflow.name] if workflow.name else [])
