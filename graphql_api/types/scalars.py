"""The types that need no others: states, cursors, progress, failures, and what a node is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NewType

import strawberry
from graphql import GraphQLError

from celeryql.definition.numbers import INT_MAX
from celeryql.records import Cursor, Priority, TaskState, cursor_position
from graphql_api.api_errors import QUOTED_MAX, cut
from graphql_api.auth.viewer import Scope
from graphql_api.context import Info
from graphql_api.execution.stored_values import Stored
from graphql_api.types import decorators

if TYPE_CHECKING:
    from graphql_api.types.task import Task
    from graphql_api.types.workflow import Workflow

decorators.enum(
    TaskState,
    {
        "SCHEDULED": "Has a start time in the future.",
        "WAITING": "Waits for earlier steps.",
        "QUEUED": "Accepted; in the broker, not started.",
        "RUNNING": "A worker runs it.",
        "RETRYING": "An attempt failed; another is due.",
        "SUCCEEDED": "Ended with a result.",
        "FAILED": "Ended with an error.",
        "CANCELED": "Was canceled before it had a result.",
        "SKIPPED": "An earlier step failed or was canceled, so it never ran.",
        "EXPIRED": "Was not started in time.",
    },
)

decorators.enum(
    Priority,
    {
        "LOW": "After all others.",
        "NORMAL": "In the order of arrival.",
        "HIGH": "Before all others.",
    },
)

decorators.enum(
    Scope,
    {
        "ENQUEUE": "Enqueue tasks, workflows and batches.",
        "READ": "Read and watch tasks: their input, result, failure and history, too.",
        "CONTROL": "Cancel tasks; retry them, together with ENQUEUE.",
        "CLUSTER": "See queues and workers.",
        "ADMIN": "All of the others, and for everyone's tasks.",
    },
)

TaskRef = Annotated["Task", strawberry.lazy("graphql_api.types.task")]
WorkflowRef = Annotated["Workflow", strawberry.lazy("graphql_api.types.workflow")]
IdArgument = Annotated[strawberry.ID, strawberry.argument(description="Id of a task or workflow.")]

__all__ = [
    "BIG_INT",
    "EVENT_CURSOR",
    "BigInt",
    "EventCursor",
    "Failure",
    "Node",
    "Priority",
    "Progress",
    "Scope",
    "TaskState",
]

_TRACEBACK = Stored("any task", "traceback", str)

EventCursor = NewType("EventCursor", str)


def _parse_cursor(value: object) -> EventCursor:
    try:
        cursor_position(Cursor(str(value)))
    except ValueError as error:
        raise GraphQLError(
            f"{cut(str(value), QUOTED_MAX)!r} is not an event cursor: "
            "use the `cursor` of an event or of an answer"
        ) from error
    return EventCursor(str(value))


EVENT_CURSOR = strawberry.scalar(
    name="EventCursor",
    description="Opaque, durable position in a stream of events. Pass it back as `after` to "
    "resume with nothing missed.",
    serialize=str,
    parse_value=_parse_cursor,
)

BigInt = NewType("BigInt", int)


def _big_int(value: object) -> int:
    is_bool = isinstance(value, bool)
    if isinstance(value, int | float) and not is_bool and abs(value) <= INT_MAX and value % 1 == 0:
        return int(value)
    raise GraphQLError(f"BigInt cannot represent {value!r}: it holds integers up to {INT_MAX}")


BIG_INT = strawberry.scalar(
    name="BigInt",
    description=f"An integer from -{INT_MAX} to {INT_MAX}, as a JSON number.",
    serialize=_big_int,
    parse_value=_big_int,
)


@decorators.interface
class Node:
    """Whatever has an id of its own and can be fetched again by it."""

    id: strawberry.ID = strawberry.field(description="Unique among all nodes.")


@decorators.type
class Progress:
    """How far a task is, in its own unit; of a workflow, ended steps of all."""

    current: float = strawberry.field(description="What is done.")
    total: float | None = strawberry.field(description="All there is to do, where it is known.")
    message: str | None = strawberry.field(description="What is being done, for people.")

    @decorators.field
    def fraction(self) -> float | None:
        """In [0, 1] where a total is known."""
        return min(max(self.current / self.total, 0.0), 1.0) if self.total else None


@decorators.type
class Failure:
    """Why a task has no result."""

    type: str = strawberry.field(description="The exception's class name.")
    message: str = strawberry.field(description="The exception's text.")
    retryable: bool = strawberry.field(description="Another attempt is made or may help.")
    caused_by: str | None = strawberry.field(
        description="Key of the step that this one was skipped for."
    )
    task_id: strawberry.Private[str]

    @decorators.field
    async def traceback(self, info: Info) -> str | None:
        """The Python traceback, where there is one, and the service shows them."""
        if not info.context.engine.settings.tracebacks:
            return None
        document = await info.context.metas.load(self.task_id)
        if document is None:
            return None
        text: str | None = await _TRACEBACK.read(info.context, document, "traceback")
        return text
