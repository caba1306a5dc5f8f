"""Large results: reading one delays no other client, and it can be read in parts."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.alone]

TASKS = '''
"""Tables."""

from pydantic import BaseModel

from tasks.celery_app import app


class Row(BaseModel):
    """A row."""

    a: int
    b: str


class Table(BaseModel):
    """A table."""

    rows: list[Row]


@app.task
def rows(n: int) -> list[Row]:
    """Return rows."""
    return [Row(a=i, b=f"row {i}") for i in range(n)]


@app.task
def table(n: int) -> Table:
    """Return rows in a table."""
    return Table(rows=rows(n))


class Found(BaseModel):
    """Something that was found."""

    a: int


class Missing(BaseModel):
    """Something that was not found."""

    a: int


@app.task
def find(n: int) -> list[Found | Missing]:
    """Find every second thing."""
    return [(Missing if i % 2 else Found)(a=i) for i in range(n)]


@app.task
def take(rows: list[Row]) -> None:
    """Take rows."""
'''
ROWS = "query($id: ID!) { task(id: $id) { id ... on RowsTask { result { a b } } } }"
TABLE = "query($id: ID!) { task(id: $id) { id ... on TableTask { result { rows { a b } } } } }"
PART = """query($id: ID!, $first: Int, $after: Int!) { task(id: $id) {
  ... on RowsTask { result(first: $first, after: $after) { a b } } } }"""
LIST = "{ tasks(first: 100) { nodes { id ... on RowsTask { result { a } } } } }"
PASSED_ON = """query($id: ID!) { task(id: $id) { ... on Workflow { steps {
  task { id state ... on TakeTask { input { rows { a } } } } } } } }"""
FIND = """query($id: ID!, $first: Int, $after: Int!) { task(id: $id) { ... on FindTask {
  result(first: $first, after: $after) { __typename ... on Found { a } ... on Missing { a } }
} } }"""
LONGEST_WAIT_S = 0.1
TRIES = 3  # delays that the machine itself causes do not happen each time


@pytest.fixture(scope="module")
def site(copy_project, running_project):
    with running_project(copy_project(TASKS)) as running:
        yield running


async def done(site, task: str, n: int) -> str:
    task_id = await site.client.enqueue(task, n=n)
    assert await site.ended(task_id) == "SUCCEEDED"
    return task_id


async def longest_wait(client: Client, reading) -> tuple[dict, float]:
    """Return the response of a read, and how long other requests waited meanwhile."""
    waits: list[float] = []

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=client.url, timeout=30) as http:
            while True:
                began = time.monotonic()
                await http.post("/graphql", json={"query": "{ viewer { subject } }"})
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    while len(waits) < 5:  # noqa: ASYNC110  # so its connection is open
        await asyncio.sleep(0.01)
    waits.clear()
    answer = await reading
    count = len(waits)
    while len(waits) <= count:  # noqa: ASYNC110  # including the request that waits now
        await asyncio.sleep(0.01)
    asking.cancel()
    return answer, max(waits)


@pytest.mark.parametrize(
    ("task", "operation", "n", "is_shown"),
    [
        ("rows", ROWS, 17_000, True),
        ("rows", ROWS, 300_000, False),
        ("rows", ROWS, 900_000, False),
        ("table", TABLE, 17_000, True),
        ("table", TABLE, 300_000, False),
    ],
)
async def test_reading_a_large_result_delays_no_other_client(site, task, operation, n, is_shown):
    task_id = await done(site, task, n)
    waited_s: list[float] = []

    for _ in range(TRIES):
        answer, wait_s = await longest_wait(site.client, site.client.answer(operation, id=task_id))
        waited_s.append(wait_s)
        result = answer["data"]["task"]["result"]
        if is_shown:
            assert len(result if task == "rows" else result["rows"]) == n
        else:
            assert result is None
            assert "too many items" in answer["errors"][0]["message"]

    assert min(waited_s) < LONGEST_WAIT_S


async def test_reading_many_results_delays_no_other_client(site):
    for _ in range(60):
        await done(site, "rows", 300)

    answer, _ = await longest_wait(site.client, site.client.answer(LIST))
    again = [await longest_wait(site.client, site.client.answer(LIST)) for _ in range(TRIES)]

    results = [len(node["result"]) for node in answer["data"]["tasks"]["nodes"][:60]]
    assert results == [300] * 60
    assert min(wait_s for _, wait_s in again) < LONGEST_WAIT_S


async def test_a_client_reads_a_large_result_in_parts(site):
    n = 120_000
    task_id = await done(site, "rows", n)
    found: list[dict] = []

    while True:
        page = {"id": task_id, "first": 10_000, "after": len(found)}
        part = (await site.client.execute(PART, **page))["task"]["result"]
        found += part
        if len(part) < 10_000:
            break

    assert found == [{"a": i, "b": f"row {i}"} for i in range(n)]


@pytest.mark.parametrize("n", [20, 3_000])  # a small result and a large one
async def test_a_part_of_a_list_of_unions_keeps_its_types(site, n):
    task_id = await done(site, "find", n)

    page = {"id": task_id, "first": 10, "after": n - 3}
    part = (await site.client.execute(FIND, **page))["task"]["result"]

    kinds = ["Missing" if i % 2 else "Found" for i in range(n)]
    assert part == [{"__typename": kinds[i], "a": i} for i in range(n - 3, n)]


async def test_reading_a_part_at_the_end_delays_no_other_client(site):
    task_id = await done(site, "rows", 900_000)
    waited_s: list[float] = []

    for after in (899_990, 450_000, 700_000):
        page = {"id": task_id, "first": 10, "after": after}
        answer, wait_s = await longest_wait(site.client, site.client.answer(PART, **page))
        waited_s.append(wait_s)
        assert [row["a"] for row in answer["data"]["task"]["result"]] == [*range(after, after + 10)]

    assert min(waited_s) < LONGEST_WAIT_S


async def test_a_large_passed_result_hides_only_the_input(site):
    steps = [{"task": {"rows": {"n": 100_000}}}, {"task": {"take": {}}}]
    canvas = {"chain": [{"step": step} for step in steps]}
    workflow = await site.client.enqueue("workflow", canvas=canvas)
    assert await site.ended(workflow) == "SUCCEEDED"

    answer, wait_s = await longest_wait(site.client, site.client.answer(PASSED_ON, id=workflow))

    (_, taken) = answer["data"]["task"]["steps"]
    assert (taken["task"]["state"], taken["task"]["input"]) == ("SUCCEEDED", None)
    assert "too many items" in answer["errors"][0]["message"]
    assert wait_s < 1
