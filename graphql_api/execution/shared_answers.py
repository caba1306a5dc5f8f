"""Answers that subscribers share, so that each event is executed once for all who ask the same.

Which subscribers share: those whose documents, operation names, variables and permissions are
identical. Permissions are the whole viewer except for when its token expires.

What they share: the object of an event, and the answer that was executed for it. An answer is
shared only if it has no errors and its execution read nothing. What was read may have changed for
the next subscriber, so such an answer is executed for each.

How long an answer is kept: as long as its event. The event reader gives one `Event` object to all
subscribers, and Python frees it when the last of them has taken it from its queue.

Who pays: the first subscriber that executes an answer. The limits on an answer's size count against
its operation; the others only send the result.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any
from weakref import ref

from graphql import ExecutionResult

from celeryql.records import Event
from graphql_api.auth.viewer import Viewer


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


_AnswersByEvent = dict[int, tuple[ref[Event], dict[Hashable, SharedAnswer]]]


class SharedAnswers:
    """The shared answers of one process."""

    def __init__(self) -> None:
        self._by_event: _AnswersByEvent = {}

    def group(
        self,
        document: str,
        operation_name: str | None,
        variables: dict[str, Any],
        viewer: Viewer,
    ) -> SharingGroup:
        """Return the group of a subscriber: all of its members share answers."""
        operation = repr((document, operation_name, variables)).encode()  # may be a megabyte
        key = sha256(operation).digest(), replace(viewer, expires_at=None)
        return SharingGroup(key, self._by_event)


class SharingGroup:
    """The subscribers with one sharing key; each has its own object of this class."""

    __slots__ = ("_by_event", "_key")  # there are tens of thousands

    def __init__(self, key: Hashable, by_event: _AnswersByEvent) -> None:
        self._key, self._by_event = key, by_event

    def find(self, event: Event) -> SharedAnswer | None:
        """Find the answer that another member of the group added."""
        kept = self._by_event.get(id(event))
        return kept[1].get(self._key) if kept else None

    def add(self, event: Event, shown: Any) -> SharedAnswer:
        """Share the object of an event.

        Args:
            event: keeps the answer alive, so `shown` must not refer to it.
            shown: what the subscription resolves to.
        """
        answer = SharedAnswer(shown)
        if id(event) not in self._by_event:
            # An id is unique until the object is freed, and then the entry is removed.
            forget = partial(self._by_event.pop, id(event))
            self._by_event[id(event)] = ref(event, forget), {}
        self._by_event[id(event)][1][self._key] = answer
        return answer
