"""Relay pagination of task lists."""

from __future__ import annotations

from dataclasses import dataclass

import strawberry

from celeryql.state.listing import ListingPosition, RecordFilter, RecordPage, list_page
from graphql_api.api_errors import QUOTED_MAX, ApiError, ErrorCode, shorten
from graphql_api.execution.context import Info
from graphql_api.types import decorators
from graphql_api.types.scalars import EventCursor
from graphql_api.types.task import Task

_SIZE_DEFAULT = 20
_SIZE_MAX = 100


@decorators.type
class PageInfo:
    """The position of a page in the list."""

    has_next_page: bool = strawberry.field(
        description="Whether there may be older tasks. With a filter, the next page can be empty."
    )
    has_previous_page: bool = strawberry.field(description="Whether there may be newer tasks.")
    start_cursor: str | None = strawberry.field(
        description="Pass this as `before` to get newer tasks."
    )
    end_cursor: str | None = strawberry.field(
        description="Pass this as `after` to get older tasks."
    )


@decorators.type
class TaskEdge:
    """A task in a page, with its page cursor."""

    cursor: str = strawberry.field(description="The page cursor of the task.")
    node: Task = strawberry.field(description="The task.")


@decorators.type
class TaskConnection:
    """A page of tasks."""

    cursor: EventCursor = strawberry.field(
        description="The position in the stream of events that this page reflects. Pass it to the "
        "`tasks` subscription as `after`."
    )
    edges: list[TaskEdge] = strawberry.field(description="The tasks with their page cursors.")
    page_info: PageInfo = strawberry.field(description="The position of the page in the list.")

    @decorators.field
    def nodes(self) -> list[Task]:
        """The tasks without their page cursors."""
        return [edge.node for edge in self.edges]


@dataclass(frozen=True)
class PageArguments:
    """The pagination arguments of Relay: `first` and `after`, or `last` and `before`.

    Attributes:
        size: the maximum number of tasks.
        beyond: where the page starts; None for the start or end of the list.
        is_backwards: whether `last` and `before` are given.
    """

    size: int
    beyond: ListingPosition | None
    is_backwards: bool

    @classmethod
    def of(
        cls, first: int | None, after: str | None, last: int | None, before: str | None
    ) -> PageArguments:
        """Check the arguments.

        Raises:
            ApiError: both directions are given, a size is out of range, or a cursor is invalid.
        """
        is_backwards = last is not None or before is not None
        if is_backwards and (first is not None or after is not None):
            raise ApiError(
                "Give `first` and `after`, or `last` and `before`", ErrorCode.BAD_USER_INPUT
            )
        size, beyond = (last, before) if is_backwards else (first, after)
        return cls(_size(size), _position(beyond), is_backwards)

    def info(self, page: RecordPage) -> PageInfo:
        """Describe the position of a page that was read with these arguments."""
        positions = [position for position, _ in page.items]
        start, end = (positions[0], positions[-1]) if positions else (None, None)
        if page.resume is not None:  # a search that was cut short ends beyond the last task
            start, end = (page.resume, end) if self.is_backwards else (start, page.resume)
        has_beyond = self.beyond is not None
        return PageInfo(
            has_next_page=has_beyond if self.is_backwards else page.has_more,
            has_previous_page=page.has_more if self.is_backwards else has_beyond,
            start_cursor=str(start) if start else None,
            end_cursor=str(end) if end else None,
        )


async def list_tasks(
    info: Info, filter_: RecordFilter, page_arguments: PageArguments
) -> TaskConnection:
    """Read a page of tasks, forwards from the newest or backwards from the oldest."""
    engine = info.context.engine
    cursor = await engine.store.newest_cursor()
    page = await list_page(
        engine.redis,
        engine.store,
        info.context.viewer.visible_owner,
        filter_,
        size=page_arguments.size,
        beyond=page_arguments.beyond,
        towards_newer=page_arguments.is_backwards,
    )
    edges = [
        TaskEdge(cursor=str(position), node=info.context.to_graphql(record))
        for position, record in page.items
    ]
    return TaskConnection(
        cursor=EventCursor(cursor), edges=edges, page_info=page_arguments.info(page)
    )


def _size(requested: int | None) -> int:
    size = _SIZE_DEFAULT if requested is None else requested
    if not 1 <= size <= _SIZE_MAX:
        raise ApiError(f"A page has 1 to {_SIZE_MAX} tasks, not {size}", ErrorCode.BAD_USER_INPUT)
    return size


def _position(cursor: str | None) -> ListingPosition | None:
    if cursor is None:
        return None
    try:
        return ListingPosition.parse(cursor)
    except ValueError as error:
        text = (
            f"{shorten(cursor, QUOTED_MAX)!r} is not a page cursor: "
            "use the `cursor` of an edge, or `startCursor` or `endCursor` of `pageInfo`"
        )
        raise ApiError(text, ErrorCode.BAD_USER_INPUT) from error
