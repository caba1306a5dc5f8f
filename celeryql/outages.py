"""Outages of Redis: the exceptions of a client in one, and how they differ from our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from celeryql.errors import Unavailable

# What a client raises in an outage; `is_outage` decides which `ResponseError` is one.
OUTAGES = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    OSError,
    TimeoutError,
    exceptions.ResponseError,
)
# How an answer begins that refuses writes.
_REFUSED_WRITES = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "LOADING")
_DEMOTED = "UNBLOCKED"  # how it begins for a blocked reader when a primary becomes a replica


def is_outage(error: BaseException | None) -> bool:
    """Return whether an error is an outage, which passes, and not an error of ours."""
    if isinstance(error, exceptions.ResponseError):
        return refuses_writes(error)
    return isinstance(error, OUTAGES)


def refuses_writes(error: BaseException) -> bool:
    """Return whether Redis answered that it refuses writes now, or is shutting down."""
    if isinstance(error, exceptions.OutOfMemoryError | exceptions.ReadOnlyError):
        return True
    # A pipeline of redis-py puts the command before the answer, and both in a tuple.
    answer = str(error).rpartition("caused error: ")[2].lstrip("('\"")
    return isinstance(error, exceptions.ResponseError) and answer.startswith(
        (*_REFUSED_WRITES, _DEMOTED)
    )


@contextmanager
def unavailable_in_outage() -> Iterator[None]:
    """Raise `Unavailable` in an outage; for reads before anything was written.

    Raises:
        Unavailable: Redis did not answer; nothing was accepted.
    """
    try:
        yield
    except OUTAGES as error:
        if not is_outage(error):
            raise
        raise Unavailable(outcome_unknown=False) from error
