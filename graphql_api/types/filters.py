"""The filter of task lists and of the stream of all tasks."""

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

_ENTRIES_MAX = 100  # per list; each task is compared with all entries


@decorators.input
class TaskFilter:
    """A task matches if it matches one entry of every given list, and has all given tags.

    A list can have up to 100 entries. A list that is left out matches all tasks. An empty list
    matches none, except that empty `tags` match all.
    """

    ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="The ids of the tasks."
    )
    states: list[TaskState] | None = strawberry.field(
        default=None, description="The states of the tasks."
    )
    definitions: list[str] | None = strawberry.field(
        default=None, description="The names of task definitions, or `workflow` for workflows."
    )
    queues: list[str] | None = strawberry.field(default=None, description="The names of queues.")
    tags: list[str] | None = strawberry.field(
        default=None, description="Tags that a task must all have."
    )
    created_after: datetime | None = strawberry.field(
        default=None,
        description="Match tasks accepted after this time. A time without an offset is in UTC.",
    )
    created_before: datetime | None = strawberry.field(
        default=None,
        description="Match tasks accepted before this time. A time without an offset is in UTC.",
    )
    top_level_only: bool | None = strawberry.field(
        default=None, description="Whether to leave out workflow steps."
    )


FilterArgument = Annotated[
    TaskFilter | None, strawberry.argument(description="Which tasks to return; all by default.")
]


def parse_filter(given: TaskFilter | None, viewer: Viewer) -> RecordFilter:
    """Translate a filter for the engine, limited to the tasks that the viewer may see.

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
