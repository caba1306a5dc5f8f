"""Which tasks a client may see; every query and subscription applies this rule."""

from __future__ import annotations

from dataclasses import dataclass

from celeryql.records import Record


@dataclass(frozen=True)
class Visibility:
    """Which tasks a client may see; an attribute that is None allows all.

    Attributes:
        owner: the owner of the tasks.
        definitions: the names of their definitions.
        task_ids: their ids; the id of a workflow includes its steps.
    """

    owner: str | None = None
    definitions: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None

    def allows(self, record: Record) -> bool:
        """Return whether the client may see a task; the answer never changes during its life."""
        return (
            self.owner in (None, record.owner)
            and (self.definitions is None or record.definition in self.definitions)
            and (self.task_ids is None or not self.task_ids.isdisjoint((record.id, record.root)))
        )


EVERYTHING = Visibility()
