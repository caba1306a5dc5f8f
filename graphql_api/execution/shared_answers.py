"""Answers that subscribers share, so that each event is executed once for all who ask the same.

Which subscribers share: those whose documents, operation names, variables and permissions are
identical. Permissions are the whole viewer except for when its token expires.

What they share: the object of an event, and the answer that was executed for it. An answer is
shared only if it has no errors and its execution read nothing. What was read may have changed for
the next subscriber, so such an answer is executed for each.

How long an answer is kept: as long as its event, in which it is stored. The event reader gives one
`Event` object to all subscribers, and Python frees it when the last of them has taken it from its
queue.

Who pays: the first subscriber that executes an answer. The limits on an answer's size count against
its operation; the others only send the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from graphql import ExecutionResult

from celeryql.records import Event
from graphql_api.auth.viewer import Viewer

# Under this name, the answers of an event are in its `__dict__`, where pydantic has no field: a
# dictionary of weak references beside the events would take several microseconds an event.
_ANSWERS = "shared answers"


@dataclass(slots=True)
class SharedAnswer:
    """An event for the subscribers that share it.

    Attributes:
        event: the object that the subscription resolves to.
        result: the answer, after one of the subscribers has executed it.
    """

    event: Any
    result: ExecutionResult | None = None

    def keep(self, result: ExecutionResult) -> None:
        """Keep an answer for the next subscribers, unless it has errors."""
        if not result.errors:
            self.result = result

    def execute_operation(self, _: bool | None) -> ExecutionResult | None:  # noqa: FBT001  # an executor's signature
        """Return the answer: graphql-core calls this in place of an executor for the event."""
        return self.result


class SharingGroup:
    """The subscribers that share answers: all objects of this class with an equal key."""

    __slots__ = ("_key",)  # there are tens of thousands

    def __init__(
        self,
        document: str,
        operation_name: str | None,
        variables: dict[str, Any],
        viewer: Viewer,
    ) -> None:
        permissions = replace(viewer, expires_at=None)
        asked = repr((document, operation_name, variables, permissions))  # may be a megabyte
        self._key = sha256(asked.encode()).digest()

    def find(self, event: Event) -> SharedAnswer | None:
        """Find the answer that another member of the group added."""
        answers = event.__dict__.get(_ANSWERS)
        return answers.get(self._key) if answers else None

    def add(self, event: Event, shown: Any) -> SharedAnswer:
        """Share the object of an event.

        Args:
            event: keeps the answer alive.
            shown: what the subscription resolves to.
        """
        answer = SharedAnswer(shown)
        event.__dict__.setdefault(_ANSWERS, {})[self._key] = answer
        return answer
