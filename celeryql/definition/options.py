"""Options that a caller can set for a task, beside its arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from celeryql.records import Priority

MAX_ATTEMPTS = 100  # of any task; also for one whose max_retries is None
YEAR_S = 366 * 24 * 3600  # longest delay of a start or an expiry

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=100)
]  # a name that a caller chooses


def _within_a_year(at: datetime) -> datetime:
    if at > datetime.now(UTC) + timedelta(seconds=YEAR_S):
        raise PydanticCustomError("too_far", "more than a year ahead")
    return at


class EnqueueOptions(BaseModel):
    """Options of one task; the schema's form of them is `TaskOptions`.

    Attributes:
        priority: None for the workflow's priority, or the normal one.
        start_at: earliest time of the start; None to start at once, or after `start_in_s`.
        start_in_s: seconds from acceptance to the earliest start.
        expires_in_s: seconds from acceptance after which it no longer starts.
        max_attempts: how many times it runs at most; None for the limit of its definition.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    idempotency_key: Name | None = None
    tags: tuple[Name, ...] = Field(default=(), max_length=20)
    priority: Priority | None = None
    start_at: Annotated[AwareDatetime, AfterValidator(_within_a_year)] | None = None
    start_in_s: float | None = Field(default=None, ge=0, le=YEAR_S)
    expires_in_s: float | None = Field(default=None, gt=0, le=YEAR_S)
    max_attempts: int | None = Field(default=None, ge=1, le=MAX_ATTEMPTS)
