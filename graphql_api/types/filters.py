"""The filter that lists and streams of tasks have in common."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeVar

import strawberry

from celeryql.records import as_utc
from celeryql.state.listing import RecordFilter
from graphql_api.api_errors import ApiError, ErrorCode
from graphql_api.auth.viewer import Viewer
from graphql_api.types import decorators
from graphql_api.types.enums import TaskState

T = TypeVar("T")

_ENTRIES_MAX = 100  # of each list; every task that is looked at is compared with them


@decorators.input
class TaskFilter:
    """What tasks must match: one of each list that is given, and all tags.

    A list may have 100 entries. Leave a list out to match all: an empty one matches no task, except
    that empty `tags` match every task. A `createdBefore` ahead of `createdAfter` matches no task.
    """

    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="One of these.")
    states: list[TaskState] | None = strawberry.field(default=None, description="One of these.")
    definitions: list[str] | None = strawberry.field(
        default=None, description="Name of one of these task definitions."
    )
    queues: list[str] | None = strawberry.field(default=None, description="One of these queues.")
    tags: list[str] | None = strawberry.field(default=None, description="All of them.")
    created_after: datetime | None = strawberry.field(
        default=None, description="Accepted later than this; UTC where it names no offset."
    )
    created_before: datetime | None = strawberry.field(
        default=None, description="Accepted earlier than this; UTC where it names no offset."
    )
    top_level_only: bool | None = strawberry.field(
        default=None, description="Leave workflow steps out."
    )


FilterArgument = Annotated[
    TaskFilter | None, strawberry.argument(description="Which ones; all by default.")
]


def parse_filter(given: TaskFilter | None, viewer: Viewer) -> RecordFilter:
    """Hand a filter to the engine, held to what the viewer may see.

    Raises:
        ApiError: a list is too long.
    """
    if given is None:
        return RecordFilter(visibility=viewer.visibility)
    for name in ("ids", "states", "definitions", "queues", "tags"):
        if (length := len(getattr(given, name) or ())) > _ENTRIES_MAX:
            text = f"`{name}` of a filter has at most {_ENTRIES_MAX} entries, not {length}"
            raise ApiError(text, ErrorCode.BAD_USER_INPUT)
    return RecordFilter(
        ids=_one_of(given.ids),
        states=_one_of(given.states),
        definitions=_one_of(given.definitions),
        queues=_one_of(given.queues),
        tags=frozenset(given.tags or ()),
        created_after=given.created_after and as_utc(given.created_after),
        created_before=given.created_before and as_utc(given.created_before),
        top_level_only=bool(given.top_level_only),
        visibility=viewer.visibility,
    )


def _one_of(given: Iterable[T] | None) -> frozenset[T] | None:
    return None if given is None else frozenset(given)
