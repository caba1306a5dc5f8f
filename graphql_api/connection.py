"""A Relay connection over the listing."""

from __future__ import annotations

import strawberry

from graphql_api import described
from graphql_api.codes import ApiError, Code
from graphql_api.context import Info
from graphql_api.types import Task
from graphql_api.values import EventCursor
from tasks.engine.listing import Filter, Place, list_page

_SIZE = 20
_SIZE_MAX = 100


@described.type
class PageInfo:
    """Where a page begins and ends."""

    has_next_page: bool = strawberry.field(
        description="There may be older ones; a filter may have to look further for them."
    )
    has_previous_page: bool = strawberry.field(description="There may be newer ones.")
    start_cursor: str | None = strawberry.field(description="Ask for what is `before` this.")
    end_cursor: str | None = strawberry.field(description="Ask for what is `after` this.")


@described.type
class TaskEdge:
    """One task of a page."""

    cursor: str = strawberry.field(description="Its page cursor.")
    node: Task = strawberry.field(description="The task.")


@described.type
class TaskConnection:
    """One page of tasks."""

    cursor: EventCursor = strawberry.field(
        description="Position in the stream of events that this page shows."
    )
    edges: list[TaskEdge] = strawberry.field(description="The tasks with their page cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page begins and ends.")

    @described.field
    def nodes(self) -> list[Task]:
        """The tasks alone."""
        return [edge.node for edge in self.edges]


async def connect(
    info: Info,
    filter_: Filter,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> TaskConnection:
    """Read a page, forwards from the newest or backwards from the oldest.

    Raises:
        ApiError: both directions at once, a size out of range, a cursor that is none.
    """
    backwards = last is not None or before is not None
    if backwards and (first is not None or after is not None):
        raise ApiError("Give `first` and `after`, or `last` and `before`", Code.BAD_USER_INPUT)
    size = _size(last if backwards else first)
    beyond = _place(before if backwards else after)
    engine = info.context.engine
    cursor = await engine.store.newest_cursor()
    page = await list_page(
        engine.redis,
        engine.store,
        info.context.viewer.sees_only,
        filter_,
        size=size,
        beyond=beyond,
        towards_newer=backwards,
    )
    edges = [
        TaskEdge(cursor=str(place), node=info.context.present(record))
        for place, record in page.items
    ]
    start, end = (edges[0].cursor, edges[-1].cursor) if edges else (None, None)
    if page.resume is not None:  # which lies behind the last task where a search was cut short
        start, end = (str(page.resume), end) if backwards else (start, str(page.resume))
    return TaskConnection(
        cursor=EventCursor(cursor),
        edges=edges,
        page_info=PageInfo(
            has_next_page=beyond is not None if backwards else page.has_more,
            has_previous_page=page.has_more if backwards else beyond is not None,
            start_cursor=start,
            end_cursor=end,
        ),
    )


def _size(asked: int | None) -> int:
    size = _SIZE if asked is None else asked
    if not 1 <= size <= _SIZE_MAX:
        raise ApiError(f"A page has 1 to {_SIZE_MAX} tasks, not {size}", Code.BAD_USER_INPUT)
    return size


def _place(cursor: str | None) -> Place | None:
    try:
        return None if cursor is None else Place.parse(cursor)
    except ValueError as error:
        raise ApiError(f"{cursor!r} is no page cursor", Code.BAD_USER_INPUT) from error
