"""Which tasks somebody may be shown: the one rule that every way to a task asks."""

from __future__ import annotations

from dataclasses import dataclass

from celeryql.records import Record


@dataclass(frozen=True)
class Visibility:
    """Which tasks are within reach; a part that is None narrows nothing.

    Attributes:
        owner: whose tasks.
        definitions: of which definitions, by name.
        task_ids: which ones; of a workflow all steps, too.
    """

    owner: str | None = None
    definitions: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None

    def allows(self, record: Record) -> bool:
        """Tell whether a task is within reach; nothing in its life changes that."""
        return (
            self.owner in (None, record.owner)
            and (self.definitions is None or record.definition in self.definitions)
            and (self.task_ids is None or not self.task_ids.isdisjoint((record.id, record.root)))
        )


EVERYTHING = Visibility()
