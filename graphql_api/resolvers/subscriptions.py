"""The root fields of subscriptions: one task, all tasks, or the queues and workers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import strawberry

from celeryql.errors import CursorExpired
from celeryql.records import Cursor, Event, Record
from celeryql.state.listing import RecordFilter
from celeryql.watching.event_stream import Snapshot
from graphql_api.api_errors import ApiError, ErrorCode, not_found
from graphql_api.auth.viewer import Scope
from graphql_api.execution.context import Info
from graphql_api.execution.shared_answers import SharedAnswer, SharingGroup
from graphql_api.types import decorators
from graphql_api.types.cluster import Cluster
from graphql_api.types.filters import FilterArgument, parse_filter
from graphql_api.types.node import IdArgument
from graphql_api.types.scalars import EventCursor
from graphql_api.types.task import TaskEvent, checked_cursor, present_event, present_snapshot


@decorators.type
class Subscription:
    """Watch tasks and the cluster."""

    # The methods are not generators, so that their errors end the operation before it streams.

    @decorators.subscription(scopes=(Scope.READ,))
    async def task(
        self,
        info: Info,
        id: IdArgument,
        after: Annotated[
            EventCursor | None,
            strawberry.argument(description="Resume after this event, without a snapshot."),
        ] = None,
    ) -> AsyncGenerator[TaskEvent, None]:
        """Watch a task, or a workflow with all of its steps.

        The stream starts with a snapshot or with the events after `after`. Then each event follows
        in order, and the stream completes after the final event of the task or workflow. For a
        finished task, it completes after the snapshot, or at once if `after` is its last event. An
        unknown id is an error with the code NOT_FOUND.
        """
        record = await info.context.record_to_watch(id)
        if record is None:
            raise not_found(f"Task {id!r}")
        return _events_of_one(info, record, await checked_cursor(info, after))

    @decorators.subscription(scopes=(Scope.READ,))
    async def tasks(
        self,
        info: Info,
        filter: FilterArgument = None,
        after: Annotated[
            EventCursor | None,
            strawberry.argument(
                description="Start after this event. By default, start with new events."
            ),
        ] = None,
    ) -> AsyncGenerator[TaskEvent, None]:
        """Watch all matching tasks.

        The stream starts with new events, or with those after a cursor such as that of the `tasks`
        query. There is no snapshot. A cursor whose next events are no longer stored is an error
        with the code CURSOR_EXPIRED: query again, then subscribe.
        """
        wanted = parse_filter(filter, info.context.viewer)
        cursor = await checked_cursor(info, after)
        if cursor is not None:
            try:
                await info.context.engine.store.read_stream(cursor, count=1)
            except CursorExpired as error:
                raise ApiError(str(error), ErrorCode.CURSOR_EXPIRED) from error
        return _events_of_all(info, wanted, cursor)

    @decorators.subscription(scopes=(Scope.CLUSTER,))
    async def cluster(self, info: Info) -> AsyncGenerator[Cluster, None]:
        """Watch queues and workers.

        The first event is the current state. Later events follow changes, at most one a second.
        """
        async with aclosing(info.context.engine.cluster_poller.watch()) as moments:
            async for moment in moments:
                yield Cluster.of(moment)


def _sharing_group(info: Info) -> SharingGroup:
    name = info.operation.name.value if info.operation.name else None
    return SharingGroup(info.query or "", name, info.variable_values, info.context.viewer)


async def _shared_answer(info: Info, group: SharingGroup, event: Event) -> SharedAnswer | None:
    answer = group.find(event)
    if answer is None and (shown := await present_event(info, event)):
        answer = group.add(event, shown)
    return answer


# The executor resolves a `SharedAnswer` to its `TaskEvent`.
async def _events_of_one(
    info: Info, record: Record, after: Cursor | None
) -> AsyncGenerator[Any, None]:
    group = _sharing_group(info)
    async with aclosing(info.context.engine.event_stream.watch(record, after)) as changes:
        async for happened in changes:
            if isinstance(happened, Snapshot):
                yield await present_snapshot(info, happened)
            elif answer := await _shared_answer(info, group, happened):
                yield answer


async def _events_of_all(
    info: Info, wanted: RecordFilter, after: Cursor | None
) -> AsyncGenerator[Any, None]:
    owner, group = info.context.viewer.visible_owner, _sharing_group(info)
    try:
        async with aclosing(
            info.context.engine.event_stream.watch_all(owner, wanted, after)
        ) as changes:
            async for happened in changes:
                if answer := await _shared_answer(info, group, happened):
                    yield answer
    except CursorExpired as error:
        raise ApiError(str(error), ErrorCode.CURSOR_EXPIRED) from error
