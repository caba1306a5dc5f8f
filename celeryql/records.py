"""What is known of each task: its record and its events.

They are written by the scripts in `lua/` only, in the same step as the message or the result that
they tell of, and read by `store.py`.
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
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")  # of an entry of a stream, as Redis writes it
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


#: Celery's own states, as a state that only a later release knows is shown; any other is RUNNING.
_BY_CELERY_STATE = {
    "PENDING": TaskState.QUEUED,
    "RETRY": TaskState.RETRYING,
    "SUCCESS": TaskState.SUCCEEDED,
    "FAILURE": TaskState.FAILED,
    "REVOKED": TaskState.CANCELED,
}


class StoredModel(BaseModel):
    """What is read from Redis; a field of a later release is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Progress(StoredModel):
    """How far a running task is, in its own unit."""

    current: FiniteFloat  # JSON has no other
    total: FiniteFloat | None = None
    message: str | None = None


class Failure(StoredModel):
    """Why a task has no result; `type` is the exception's class name."""

    type: str
    message: str
    retryable: bool = False
    caused_by: str | None = Field(default=None, alias="causedBy")


class MutableFields(StoredModel):
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

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """Read what another release may have written.

        A state that this release does not know is shown as the one with the same Celery state.
        Any other field that cannot be read has its default.

        Raises:
            ValidationError: a field that has no default cannot be read.
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
    """Which waiting task a worker takes first."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Record(MutableFields):
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

    def as_of(self, moment: MutableFields) -> Record:
        """Give this task back as it was at one of its events, or when it was read."""
        changed = {name: getattr(moment, name) for name in MutableFields.model_fields}
        if isinstance(moment, Event | WorkflowSummary | Record):
            changed["cursor"] = moment.cursor
        return self.model_copy(update=changed)

    def compact(self) -> Record:
        """Give the same without a set of its fields of its own, which pydantic makes with each."""
        return Record.model_construct(_FIELDS, **dict(self))


_FIELDS = set(Record.model_fields)


class WorkflowSummary(MutableFields):
    """A workflow as of one event: its own state, and how many steps are in which."""

    counts: dict[str, int]
    cursor: Cursor


class EventKind(StrEnum):
    """What an event tells."""

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
        """Read an event as `event_of` in `lua/change.lua` makes it, and `move` for a step."""
        fields = json.loads(text) | {"cursor": cursor}
        if "workflow" in fields:
            fields["workflow"] = WorkflowSummary.read(fields["workflow"] | {"cursor": cursor})
        return cls.read(fields)


def as_utc(moment: datetime) -> datetime:
    """Take a time that names no zone for one in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def cursor_position(cursor: Cursor) -> tuple[int, int]:
    """Make a cursor comparable.

    Raises:
        ValueError: it is none of ours.
    """
    if not (parts := _CURSOR.fullmatch(cursor)):
        raise ValueError(f"{cursor!r} is no cursor")
    return int(parts[1]), int(parts[2])
