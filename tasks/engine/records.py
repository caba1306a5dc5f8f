"""What is known of each task: its record, its events, its workflow's graph.

They are written by the scripts in `lua/` only, in the same step as the message or the result that
they tell of, and read by `store.py`.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from pydantic import BaseModel, ConfigDict, Field, Json

TaskId = NewType("TaskId", str)
Cursor = NewType("Cursor", str)

KEY = "celeryql:"
HEARTBEAT_S = 2.0  # between two of a worker
WORKFLOW = "workflow"  # stands where a task's record names its definition


class TaskState(StrEnum):
    """Where a task is."""

    SCHEDULED = "SCHEDULED"
    WAITING = "WAITING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    SKIPPED = "SKIPPED"
    EXPIRED = "EXPIRED"

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self in _FINAL


_FINAL = frozenset(
    {
        TaskState.SUCCEEDED,
        TaskState.FAILED,
        TaskState.CANCELED,
        TaskState.SKIPPED,
        TaskState.EXPIRED,
    }
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Progress(_Frozen):
    """How far a running task is, in its own unit."""

    current: float
    total: float | None = None
    message: str | None = None


class Failure(_Frozen):
    """Why a task has no result; `type` is the exception's class name."""

    type: str
    message: str
    retryable: bool = False
    caused_by: str | None = Field(default=None, alias="causedBy")


class Changing(_Frozen):
    """What changes of a task after it was accepted; every event carries all of it."""

    state: TaskState
    celery_state: str = "PENDING"
    version: int = 1
    attempt: int = 0
    worker: str | None = None
    progress: Json[Progress] | None = None
    failure: Json[Failure] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Priority(StrEnum):
    """Which waiting task a worker takes first."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Record(Changing):
    """One task as Redis keeps it.

    Attributes:
        feeds: of a step, the number of the join that its result goes into.
        trimmed: of a root, the newest event that was cut off its history.
    """

    id: TaskId
    root: TaskId
    owner: str = ""
    definition: str | None = None
    key: str | None = None
    queue: str | None = None
    tags: Json[tuple[str, ...]] = ()
    priority: Priority = Priority.NORMAL
    max_attempts: int | None = None
    retry_of: TaskId | None = None
    feeds: int | None = None
    cursor: Cursor
    trimmed: Cursor | None = None
    created_at: datetime
    scheduled_for: datetime | None = None
    expires_at: datetime | None = None

    def as_of(self, moment: Changing) -> Record:
        """Give this task back as it was at one of its events."""
        changed = {name: getattr(moment, name) for name in Changing.model_fields}
        if isinstance(moment, Event | WorkflowSummary):
            changed["cursor"] = moment.cursor
        return self.model_copy(update=changed)


class WorkflowSummary(Changing):
    """A workflow as of one event: its own state, and how many steps are in which."""

    counts: dict[str, int]
    cursor: Cursor


class EventKind(StrEnum):
    """What an event tells."""

    SNAPSHOT = "SNAPSHOT"
    STATE = "STATE"
    PROGRESS = "PROGRESS"
    GAP = "GAP"


class Event(Changing):
    """One change of one task."""

    id: TaskId
    kind: EventKind
    at: datetime
    cursor: Cursor
    workflow: WorkflowSummary | None = None

    @classmethod
    def parse(cls, cursor: str, text: str) -> Event:
        """Read an event as `emit` in `lua/record.lua` writes it."""
        fields = json.loads(text) | {"cursor": cursor}
        if "workflow" in fields:
            fields["workflow"]["cursor"] = cursor
        return cls.model_validate(fields)


class Step(_Frozen):
    """One node of a workflow's graph.

    Attributes:
        after: number of the join that it waits for; None for a first step.
        open_parameter: where the join's value goes; None where the step takes none.
    """

    key: str
    id: TaskId
    after: int | None = None
    open_parameter: str | None = None


#: What a join hands over: the result of one task, or a list of such, nested as the groups are.
Shape = str | list["Shape"]


def leaves(shape: Shape) -> list[TaskId]:
    """List the tasks whose results a value is made of, in order."""
    if isinstance(shape, str):
        return [TaskId(shape)]
    return [leaf for part in shape for leaf in leaves(part)]


class Join(_Frozen):
    """Hands a value on, once all that it is made of are there, to each of the targets."""

    value: Any
    targets: tuple[TaskId, ...]


class Graph(_Frozen):
    """A workflow beyond its record: its steps in order, its joins, how many are in which state."""

    name: str | None = None
    steps: tuple[Step, ...]
    joins: tuple[Join, ...]
    counts: dict[str, int]

    @classmethod
    def parse(cls, fields: dict[str, str]) -> Graph:
        """Read a workflow's hash as `lua/accept.lua` writes it."""
        joins = [fields[f"join:{i}"] for i in range(len(fields)) if f"join:{i}" in fields]
        return cls(
            name=fields.get("name"),
            steps=json.loads(fields["steps"]),
            joins=tuple(Join.model_validate_json(join) for join in joins),
            counts={n: int(fields[n]) for n in ("total", *TaskState) if n in fields},
        )

    def sources(self, step: Step) -> list[TaskId]:
        """List the tasks that a step waits for."""
        return [] if step.after is None else leaves(self.joins[step.after].value)

    def output(self) -> list[TaskId]:
        """List the tasks that nothing waits for: their results are the workflow's."""
        feeding = {leaf for join in self.joins for leaf in leaves(join.value)}
        return [step.id for step in self.steps if step.id not in feeding]


def position(cursor: Cursor) -> tuple[int, int]:
    """Make a cursor comparable.

    Raises:
        ValueError: it is none of ours.
    """
    milliseconds, _, sequence = cursor.partition("-")
    return int(milliseconds), int(sequence)
