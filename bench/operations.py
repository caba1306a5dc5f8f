"""Own the GraphQL operations that several benchmarks use."""

from __future__ import annotations

from bench.http import connected

ADD = """
mutation($x: Float!) { enqueueAdd(input: {x: $x, y: 2}) {
  ... on EnqueueAddSuccess { task { id state } } } }
"""
BATCH = """
mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {
  ... on EnqueueBatchSuccess { items { task { id state } } } } }
"""
WATCH_ONE = "subscription($id: ID!) { task(id: $id) { cursor task { id state version } } }"
WATCH_ALL = "subscription { tasks { cursor task { id state version } } }"
BATCH_MAX = 1_000


def adds(count: int) -> list[dict[str, object]]:
    """Build the items of a batch."""
    return [{"task": {"add": {"x": x, "y": 2}}} for x in range(count)]


async def enqueue(url: str, items: list[dict[str, object]]) -> list[str]:
    """Enqueue tasks in batches and return their ids."""
    ids: list[str] = []
    async with connected(url) as connection:
        for i in range(0, len(items), BATCH_MAX):
            data = await connection.query(BATCH, tasks=items[i : i + BATCH_MAX])
            ids += [item["task"]["id"] for item in data["enqueueBatch"]["items"]]
    return ids
