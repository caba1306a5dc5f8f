"""Outages of Redis: what a client raises in one, and how it is told from an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from celeryql.errors import Unavailable

# What a client raises when Redis does not answer; `is_outage` says which of the last are one.
OUTAGES = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    OSError,
    TimeoutError,
    exceptions.ResponseError,
)
# How the answer begins where Redis is there, and takes no writes.
_REFUSED_WRITES = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "LOADING")
_DEMOTED = "UNBLOCKED"  # how it begins for a reader that waits while a master becomes a replica


def is_outage(error: BaseException | None) -> bool:
    """Tell an outage, which passes, from an error of ours, which does not."""
    if isinstance(error, exceptions.ResponseError):
        return refuses_writes(error)
    return isinstance(error, OUTAGES)


def refuses_writes(error: BaseException) -> bool:
    """Tell whether Redis answered that it takes no writes now, or is about to go."""
    if isinstance(error, exceptions.OutOfMemoryError | exceptions.ReadOnlyError):
        return True
    # A pipeline of redis-py puts the command before the answer, and the answer in a tuple.
    answer = str(error).rpartition("caused error: ")[2].lstrip("('\"")
    return isinstance(error, exceptions.ResponseError) and answer.startswith(
        (*_REFUSED_WRITES, _DEMOTED)
    )


@contextmanager
def unavailable_in_outage() -> Iterator[None]:
    """Read what is needed before anything is asked of Redis.

    Raises:
        Unavailable: Redis did not answer.
    """
    try:
        yield
    except OUTAGES as error:
        if not is_outage(error):
            raise
        raise Unavailable(outcome_unknown=False) from error
