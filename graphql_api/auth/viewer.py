"""Who asks: which tasks it sees, and what it may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from celeryql.errors import Forbidden
from celeryql.records import Record
from celeryql.state.visibility import Visibility


class Scope(StrEnum):
    """What a token allows; in its `scope` claim in lower case."""

    ENQUEUE = "enqueue"
    READ = "read"
    CONTROL = "control"
    CLUSTER = "cluster"
    ADMIN = "admin"


@dataclass(frozen=True)
class Viewer:
    """Who asks; without authentication everyone is `anonymous` and may do all.

    Attributes:
        definitions: only tasks of these; None for all.
        task_ids: only these tasks, and the steps of these workflows; None for all.
        expires_at: when this ends, in seconds since 1970; None for never.
    """

    subject: str = "anonymous"
    scopes: frozenset[Scope] = frozenset(Scope)
    definitions: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None
    expires_at: float | None = None

    @property
    def sees_only(self) -> str | None:
        """Whose tasks this viewer sees; None for everyone's."""
        return None if Scope.ADMIN in self.scopes else self.subject

    @cached_property
    def visibility(self) -> Visibility:
        """Which tasks this viewer sees."""
        return Visibility(self.sees_only, self.definitions, self.task_ids)

    def may_see(self, record: Record) -> bool:
        """Tell whether a task exists for this viewer."""
        return self.visibility.allows(record)

    def has(self, scope: Scope) -> bool:
        """Tell whether something is allowed; who is held to certain tasks makes no others."""
        if scope is Scope.ENQUEUE and self.task_ids is not None:
            return False
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, *scopes: Scope) -> None:
        """See that something is allowed.

        Raises:
            Forbidden: it is not; the first scope that is missing is named.
        """
        for scope in scopes:
            if not self.has(scope):
                raise Forbidden(scope.name)

    def require_definitions(self, names: Iterable[str]) -> None:
        """See that tasks of these definitions may be enqueued.

        Raises:
            Forbidden: one of them is not among those that this viewer is held to.
        """
        for name in names:
            if self.definitions is not None and name not in self.definitions:
                raise Forbidden(Scope.ENQUEUE.name, f"This token may not enqueue {name!r}")
