"""What a caller may ask of a task beside its arguments, and the limits of it."""

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

MAX_ATTEMPTS = 100  # of any task; stands for "no end" of one whose max_retries is None
YEAR_S = 366 * 24 * 3600  # as far ahead as anything may be put off

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]  # what a caller made up


def _within_a_year(at: datetime) -> datetime:
    if at > datetime.now(UTC) + timedelta(seconds=YEAR_S):
        raise PydanticCustomError("too_far", "more than a year ahead")
    return at


class EnqueueOptions(BaseModel):
    """What a caller may ask of one task beside its arguments.

    Attributes:
        priority: None for that of the workflow, or the normal one.
        start_at: not to be started before this time; None for at once, or as `start_in_s` says.
        start_in_s: the same, in seconds from when it is accepted.
        expires_in_s: seconds after which it is not started any more.
        max_attempts: how often it is run at most; None for as its definition says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    idempotency_key: Name | None = None
    tags: tuple[Name, ...] = Field(default=(), max_length=20)
    priority: Priority | None = None
    start_at: Annotated[AwareDatetime, AfterValidator(_within_a_year)] | None = None
    start_in_s: float | None = Field(default=None, ge=0, le=YEAR_S)
    expires_in_s: float | None = Field(default=None, gt=0, le=YEAR_S)
    max_attempts: int | None = Field(default=None, ge=1, le=MAX_ATTEMPTS)
