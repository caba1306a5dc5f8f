"""The authenticated caller of an operation: which tasks it may see and what it may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from celeryql.errors import Forbidden
from celeryql.records import Record
from celeryql.state.visibility import Visibility


class Scope(StrEnum):
    """A permission. The `scope` claim of a token lists permissions in lower case."""

    ENQUEUE = "enqueue"
    READ = "read"
    CONTROL = "control"
    CLUSTER = "cluster"
    ADMIN = "admin"


@dataclass(frozen=True)
class Viewer:
    """The caller of an operation. Without authentication it is `anonymous` and may do everything.

    Attributes:
        subject: owns the tasks that the caller enqueues.
        definitions: the only task definitions that the caller may use; None for all.
        task_ids: the only tasks and workflows that the caller may see, with the steps of these
            workflows; None for all.
        expires_at: Unix time in seconds at which the token expires; None for never.
    """

    subject: str = "anonymous"
    scopes: frozenset[Scope] = frozenset(Scope)
    definitions: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None
    expires_at: float | None = None

    @property
    def visible_owner(self) -> str | None:
        """The owner whose tasks the viewer may see; None for all owners."""
        return None if Scope.ADMIN in self.scopes else self.subject

    @cached_property
    def visibility(self) -> Visibility:
        """The rule that decides which tasks the viewer may see."""
        return Visibility(self.visible_owner, self.definitions, self.task_ids)

    def may_see(self, record: Record) -> bool:
        """Whether the viewer may see a task. To other viewers it does not exist."""
        return self.visibility.allows(record)

    def has(self, scope: Scope) -> bool:
        """Whether the viewer has a scope. A token limited to certain tasks cannot enqueue any."""
        if scope is Scope.ENQUEUE and self.task_ids is not None:
            return False
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def granted_scopes(self) -> list[Scope]:
        """The scopes that the viewer has; ADMIN includes the others."""
        return [scope for scope in Scope if self.has(scope)]

    def require(self, *scopes: Scope) -> None:
        """Check that the viewer has all scopes.

        Raises:
            Forbidden: a scope is missing; the error names the first.
        """
        for scope in scopes:
            if not self.has(scope):
                raise Forbidden(scope.name)

    def require_definitions(self, names: Iterable[str]) -> None:
        """Check that the viewer may enqueue tasks of these definitions.

        Raises:
            Forbidden: the token is limited to other definitions.
        """
        for name in names:
            if self.definitions is not None and name not in self.definitions:
                raise Forbidden(Scope.ENQUEUE.name, f"This token may not enqueue {name!r}")
