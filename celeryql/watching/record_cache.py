"""What never changes of tasks, read once for all subscribers of this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from celeryql.records import MutableFields, Record, TaskState
from celeryql.state.store import Store

_KEPT = 10_000  # records of about 1 kB; those that were not used for longest go first
_NOTHING = MutableFields(state=TaskState.QUEUED)


class RecordCache:
    """Records without what changes of them: an event says that (`Record.as_of`)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: OrderedDict[str, Record] = OrderedDict()

    async def get(self, task_id: str) -> Record | None:
        """Find one record; None where it was forgotten."""
        return (await self.get_many([task_id])).get(task_id)

    async def get_many(self, ids: Iterable[str]) -> dict[str, Record]:
        """Find records by their ids, in at most one round trip; what was forgotten is left out."""
        wanted = dict.fromkeys(ids)
        found = {id_: self._records[id_] for id_ in wanted if id_ in self._records}
        for id_ in found:
            self._records.move_to_end(id_)
        if missing := [id_ for id_ in wanted if id_ not in found]:
            found |= {
                record.id: self.add(record) for record in await self._store.get_existing(missing)
            }
        return found

    def add(self, record: Record) -> Record:
        """Keep a record that was read anyway; give back what is kept of it."""
        kept = record.as_of(_NOTHING).compact()
        self._records[record.id] = kept
        self._records.move_to_end(record.id)
        if len(self._records) > _KEPT:
            self._records.popitem(last=False)
        return kept
