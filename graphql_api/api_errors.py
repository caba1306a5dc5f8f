"""Top-level errors: what happens outside of any payload, with a code that clients can rely on."""

from __future__ import annotations

import logging
from enum import StrEnum
from uuid import uuid4

from graphql import GraphQLError

logger = logging.getLogger(__name__)

FIELD_ERRORS_MAX = 100  # in one answer, which could have one for each of its fields
QUOTED_MAX = 100  # characters of a value that a message repeats, before it says what to do
_SHOWN_MAX = 300  # characters of a message; what is wrong may be as long as a request


class Code(StrEnum):
    """What clients find in `extensions.code`."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    STORED_BY_ANOTHER_RELEASE = "STORED_BY_ANOTHER_RELEASE"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ApiError(GraphQLError):
    """A top-level error with a code; its message is cut, as it may repeat what a client sent."""

    def __init__(self, message: str, code: Code) -> None:
        super().__init__(cut(message), extensions={"code": code})


def not_found(what: str) -> ApiError:
    """Say that something does not exist, or not for this viewer."""
    return ApiError(f"{what} was never accepted, or has passed retention", Code.NOT_FOUND)


def cut(message: str, most: int = _SHOWN_MAX) -> str:
    """Shorten a message, or a part of one, that repeats what a client sent."""
    return message if len(message) <= most else f"{message[: most - 1]}…"


def mask(error: BaseException | None) -> str:
    """Log an error that was not expected, with an id; give the message that names it alone."""
    error_id = uuid4().hex[:12]
    logger.error("Unexpected error %s", error_id, exc_info=error)
    return f"Internal error {error_id}: it was logged"
