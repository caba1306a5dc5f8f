"""The records and events of tasks.

Only the functions in `lua/` write them, together with the message or the result that they describe.
`state/store.py` reads them.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NewType, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json, ValidationError

logger = logging.getLogger(__name__)

TaskId = NewType("TaskId", str)
Cursor = NewType("Cursor", str)

KEY = "celeryql:"
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")  # id of a stream entry
WORKFLOW = "workflow"  # definition in the record of a workflow


class TaskState(StrEnum):
    """The state of a task or of a workflow."""

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
        """Whether it never changes again."""
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


#: How a state is shown that only a later release knows, by its Celery state; any other is RUNNING.
_BY_CELERY_STATE = {
    "PENDING": TaskState.QUEUED,
    "RETRY": TaskState.RETRYING,
    "SUCCESS": TaskState.SUCCEEDED,
    "FAILURE": TaskState.FAILED,
    "REVOKED": TaskState.CANCELED,
}


class StoredModel(BaseModel):
    """Base of what is read from Redis; it ignores fields of later releases."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Progress(StoredModel):
    """How far a running task is, in a unit of its own."""

    current: FiniteFloat  # JSON has no other numbers
    total: FiniteFloat | None = None
    message: str | None = None


class Failure(StoredModel):
    """Why a task has no result; `type` is the exception's class name."""

    type: str
    message: str
    retryable: bool = False
    caused_by: str | None = Field(default=None, alias="causedBy")


class MutableFields(StoredModel):
    """The fields of a task that change after it was accepted; every event has all of them."""

    state: TaskState
    celery_state: str = "PENDING"
    version: int = 1
    attempt: int = 0
    worker: str | None = None
    progress: Json[Progress] | None = None
    failure: Json[Failure] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """Read fields that another release may have written.

        An unknown state becomes the one with the same Celery state. Any other field that cannot be
        read gets its default.

        Raises:
            ValidationError: a field without a default cannot be read.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            unreadable = {str(problem["loc"][0]) for problem in error.errors()}
            logger.warning("%s %s: cannot read %s", cls.__name__, fields.get("id"), unreadable)
            known = {name: value for name, value in fields.items() if name not in unreadable}
            if "state" in unreadable:
                celery_state = fields.get("celery_state", "PENDING")
                known["state"] = _BY_CELERY_STATE.get(celery_state, TaskState.RUNNING)
            return cls.model_validate(known)


class Priority(StrEnum):
    """The priority of a task: which waiting task a worker takes first."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Record(MutableFields):
    """The record of one task, or of a workflow.

    Attributes:
        root: the workflow that the step belongs to, or else the task's own id.
        feeds: number of the join that the result of a step goes to.
        trimmed: newest event that was removed from the history of a root.
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

    def as_of(self, moment: MutableFields) -> Record:
        """Return the record as it was at one of its events, or at an earlier read."""
        changed = {name: getattr(moment, name) for name in MutableFields.model_fields}
        if isinstance(moment, Event | WorkflowSummary | Record):
            changed["cursor"] = moment.cursor
        return self.model_copy(update=changed)

    def compact(self) -> Record:
        """Return an equal record that shares its set of field names, to save memory in caches."""
        return Record.model_construct(_FIELDS, **dict(self))


_FIELDS = set(Record.model_fields)


class WorkflowSummary(MutableFields):
    """A workflow as of one event: its own state, and the number of steps by state."""

    counts: dict[str, int]
    cursor: Cursor


class EventKind(StrEnum):
    """What an event is about."""

    SNAPSHOT = "SNAPSHOT"
    STATE = "STATE"
    PROGRESS = "PROGRESS"
    GAP = "GAP"


class Event(MutableFields):
    """One change of one task."""

    id: TaskId
    kind: EventKind
    at: datetime
    cursor: Cursor
    workflow: WorkflowSummary | None = None

    @classmethod
    def parse(cls, cursor: str, text: str) -> Event:
        """Parse an event that `lua/modules/events.lua` has written."""
        fields = json.loads(text) | {"cursor": cursor}
        if "workflow" in fields:
            fields["workflow"] = WorkflowSummary.read(fields["workflow"] | {"cursor": cursor})
        return cls.read(fields)


def as_utc(moment: datetime) -> datetime:
    """Return a time; one without a time zone is in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def cursor_position(cursor: Cursor) -> tuple[int, int]:
    """Parse a cursor into numbers that can be compared.

    Raises:
        ValueError: it is malformed.
    """
    if not (parts := _CURSOR.fullmatch(cursor)):
        raise ValueError(f"{cursor!r} is not a cursor")
    return int(parts[1]), int(parts[2])
