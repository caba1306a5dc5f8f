"""Top-level GraphQL errors and the codes that clients find in `extensions.code`.

Errors that a mutation expects are members of its payload instead (`types/payload_errors.py`).
"""

from __future__ import annotations

import logging
from enum import StrEnum
from uuid import uuid4

from graphql import GraphQLError

logger = logging.getLogger(__name__)

FIELD_ERRORS_MAX = 100  # per answer; without a limit each field could add one
QUOTED_MAX = 100  # characters of a value that a message repeats before it says what to do
_MESSAGE_MAX = 300  # characters; a message may repeat a value as long as the request


class ErrorCode(StrEnum):
    """The code of a top-level error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    STORED_BY_ANOTHER_RELEASE = "STORED_BY_ANOTHER_RELEASE"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ApiError(GraphQLError):
    """A top-level error with a code. A long message is shortened."""

    def __init__(self, message: str, code: ErrorCode) -> None:
        super().__init__(shorten(message), extensions={"code": code})


def not_found(what: str) -> ApiError:
    """Make the error for something that does not exist, or that the viewer may not see."""
    return ApiError(f"{what} was never accepted, or has expired", ErrorCode.NOT_FOUND)


def shorten(message: str, most: int = _MESSAGE_MAX) -> str:
    """Shorten a text that may repeat what a client sent."""
    return message if len(message) <= most else f"{message[: most - 1]}…"


def log_and_mask(error: BaseException | None) -> str:
    """Log an unexpected error under a new id, and return a message that contains only this id."""
    error_id = uuid4().hex[:12]
    logger.error("Unexpected error %s", error_id, exc_info=error)
    return f"Internal error. The server log has the details under id {error_id}"
