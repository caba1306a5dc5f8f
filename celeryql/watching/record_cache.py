"""A cache of the constant fields of records, shared by all subscribers of this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from celeryql.records import MutableFields, Record, TaskState
from celeryql.state.store import Store

_MAX_RECORDS = 10_000  # of about 1 kB; the least recently used is dropped first
_NO_CHANGES = MutableFields(state=TaskState.QUEUED)


class RecordCache:
    """Keeps records without their mutable fields, which events carry (see `Record.as_of`)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: OrderedDict[str, Record] = OrderedDict()

    async def get(self, task_id: str) -> Record | None:
        """Return one record; None if it does not exist."""
        return (await self.get_many([task_id])).get(task_id)

    async def get_many(self, ids: Iterable[str]) -> dict[str, Record]:
        """Return the records that exist, by id, in at most one round trip."""
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
        """Add a record that was read anyway, and return what the cache keeps of it."""
        kept = record.as_of(_NO_CHANGES).compact()
        self._records[record.id] = kept
        self._records.move_to_end(record.id)
        if len(self._records) > _MAX_RECORDS:
            self._records.popitem(last=False)
        return kept
