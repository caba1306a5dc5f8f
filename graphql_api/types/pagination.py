"""A Relay connection over the listing."""

from __future__ import annotations

from dataclasses import dataclass

import strawberry

from celeryql.state.listing import ListingPosition, RecordFilter, RecordPage, list_page
from graphql_api.api_errors import QUOTED_MAX, ApiError, ErrorCode, shorten
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.scalars import EventCursor
from graphql_api.types.task import Task

_SIZE = 20
_SIZE_MAX = 100


@decorators.type
class PageInfo:
    """Where a page begins and ends."""

    has_next_page: bool = strawberry.field(
        description="There may be older ones; a filter may have to look further for them."
    )
    has_previous_page: bool = strawberry.field(description="There may be newer ones.")
    start_cursor: str | None = strawberry.field(description="Ask for what is `before` this.")
    end_cursor: str | None = strawberry.field(description="Ask for what is `after` this.")


@decorators.type
class TaskEdge:
    """One task of a page."""

    cursor: str = strawberry.field(description="Its page cursor.")
    node: Task = strawberry.field(description="The task.")


@decorators.type
class TaskConnection:
    """One page of tasks."""

    cursor: EventCursor = strawberry.field(
        description="Position in the stream of events that this page shows."
    )
    edges: list[TaskEdge] = strawberry.field(description="The tasks with their page cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page begins and ends.")

    @decorators.field
    def nodes(self) -> list[Task]:
        """The tasks alone."""
        return [edge.node for edge in self.edges]


@dataclass(frozen=True)
class PageArguments:
    """What part of a list is asked for, as Relay names it: forwards, or backwards from the end.

    Attributes:
        beyond: begin behind this place; None for the very end.
    """

    size: int
    beyond: ListingPosition | None
    is_backwards: bool

    @classmethod
    def of(
        cls, first: int | None, after: str | None, last: int | None, before: str | None
    ) -> PageArguments:
        """Read the four arguments.

        Raises:
            ApiError: both directions at once, a size out of range, a cursor that is none.
        """
        is_backwards = last is not None or before is not None
        if is_backwards and (first is not None or after is not None):
            raise ApiError(
                "Give `first` and `after`, or `last` and `before`", ErrorCode.BAD_USER_INPUT
            )
        size, beyond = (last, before) if is_backwards else (first, after)
        return cls(_size(size), _place(beyond), is_backwards)

    def info(self, page: RecordPage) -> PageInfo:
        """Tell where the page that was read begins and ends."""
        places = [place for place, _ in page.items]
        start, end = (places[0], places[-1]) if places else (None, None)
        if page.resume is not None:  # which lies behind the last task where a search was cut short
            start, end = (page.resume, end) if self.is_backwards else (start, page.resume)
        has_beyond = self.beyond is not None
        return PageInfo(
            has_next_page=has_beyond if self.is_backwards else page.has_more,
            has_previous_page=page.has_more if self.is_backwards else has_beyond,
            start_cursor=str(start) if start else None,
            end_cursor=str(end) if end else None,
        )


async def connect(info: Info, filter_: RecordFilter, window: PageArguments) -> TaskConnection:
    """Read a page, forwards from the newest or backwards from the oldest."""
    engine = info.context.engine
    cursor = await engine.store.newest_cursor()
    page = await list_page(
        engine.redis,
        engine.store,
        info.context.viewer.sees_only,
        filter_,
        size=window.size,
        beyond=window.beyond,
        towards_newer=window.is_backwards,
    )
    edges = [
        TaskEdge(cursor=str(place), node=info.context.present(record))
        for place, record in page.items
    ]
    return TaskConnection(cursor=EventCursor(cursor), edges=edges, page_info=window.info(page))


def _size(asked: int | None) -> int:
    size = _SIZE if asked is None else asked
    if not 1 <= size <= _SIZE_MAX:
        raise ApiError(f"A page has 1 to {_SIZE_MAX} tasks, not {size}", ErrorCode.BAD_USER_INPUT)
    return size


def _place(cursor: str | None) -> ListingPosition | None:
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
