"""Arguments of every kind reach a task unchanged through a batch and through a workflow."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.client import Client

pytestmark = pytest.mark.slow

TASKS = '''
"""A shop."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated

from pydantic import BaseModel, Field

from tasks.celery_app import app


class Speed(Enum):
    """How fast."""

    SLOW = "slow"
    FAST = "fast"


class Article(BaseModel):
    """An article."""

    article_number: int = Field(ge=1)
    colours: list[str] = []
    note: str | None


@app.task
def order(
    articles: Annotated[list[Article], Field(min_length=1)],
    how_fast: Speed = Speed.SLOW,
    due_at: datetime | None = None,
    price: Decimal = Decimal(1),
    copies: list[int] = [],
) -> str:
    """Describe the order."""
    said = [f"{a.article_number} {a.colours} {a.note}" for a in articles]
    return "; ".join([*said, how_fast.name, str(due_at), str(price + 1), str(copies)])


@app.task
def weigh(
    net_kg: Annotated[float, Field(ge=0)],
    sizes: Annotated[tuple[int, ...], Field(max_length=1)] = (),
) -> float:
    """Take arguments with limits."""
    return net_kg


@app.task
def close_shop() -> str:
    """Take no arguments."""
    return "closed"
'''
FULL = {
    "articles": [{"articleNumber": 7, "colours": ["red"], "note": "n"}, {"articleNumber": 8}],
    "howFast": "FAST",
    "dueAt": "2030-01-02T03:04:05Z",
    "price": "1.50",
    "copies": [1, 2],
}
SAID = "7 ['red'] n; 8 [] None; FAST; 2030-01-02 03:04:05+00:00; 2.50; [1, 2]"
LEAST = {"articles": [{"articleNumber": 1}]}
SAID_LEAST = "1 [] None; SLOW; None; 2; []"

BATCH = """
mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {
  ... on EnqueueBatchSuccess { items { task { id }
    error { ... on InvalidInput { problems { path message } } } } } } }
"""
WORKFLOW = """
mutation($canvas: CanvasInput!) { enqueueWorkflow(input: {canvas: $canvas}) {
  ... on EnqueueWorkflowSuccess { task { id } } ... on Error { message } } }
"""
WEIGH = """
mutation($input: WeighInput!) { enqueueWeigh(input: $input) {
  ... on InvalidInput { problems { path message } } } }
"""
WATCH = """
subscription($id: ID!) { task(id: $id) { task { state ...Said
  ... on Workflow { output { ...Said } } } } }
fragment Said on Task { ... on OrderTask { result } ... on CloseShopTask { closed: result } }
"""


@dataclass
class Shop:
    client: Client

    async def end_of(self, task_id: str) -> dict:
        """Wait until a task has ended, and return how."""
        return (await self.client.events(WATCH, id=task_id))[-1]["task"]

    async def batch(self, *tasks: dict) -> list[dict]:
        data = await self.client.execute(BATCH, tasks=[{"task": task} for task in tasks])
        return data["enqueueBatch"]["items"]


@pytest.fixture(scope="module")
def shop(copy_project, running_project):
    with running_project(copy_project(TASKS)) as running:
        yield Shop(running.client)


async def test_arguments_in_a_batch_reach_the_task(shop):
    items = await shop.batch({"order": FULL}, {"order": LEAST}, {"closeShop": True})

    full, least, closed = [await shop.end_of(item["task"]["id"]) for item in items]
    assert (full["result"], least["result"]) == (SAID, SAID_LEAST)
    assert closed["closed"] == "closed"


async def test_arguments_in_a_workflow_reach_the_task(shop):
    steps = [{"step": {"task": task}} for task in ({"order": FULL}, {"order": LEAST})]

    data = await shop.client.execute(WORKFLOW, canvas={"group": steps})

    ended = await shop.end_of(data["enqueueWorkflow"]["task"]["id"])
    assert [step["result"] for step in ended["output"]] == [SAID, SAID_LEAST]


async def test_null_for_a_required_value_refuses_only_its_own_item(shop):
    items = await shop.batch({"order": LEAST | {"howFast": None}}, {"order": LEAST})

    (problem,) = items[0]["error"]["problems"]
    assert problem["path"] == ["tasks", "0", "task", "order", "howFast"]
    assert items[1]["error"] is None


async def test_a_problem_has_the_path_that_the_client_sent(shop):
    weighed = {"netKg": -1, "sizes": [1, 2]}
    data = await shop.client.execute(WEIGH, input=weighed)
    (item,) = await shop.batch({"weigh": weighed})

    expected = [
        (["netKg"], "Input should be greater than or equal to 0"),
        (["sizes"], "List should have at most 1 item, not 2"),
    ]
    for within, problems in (
        (["input"], data["enqueueWeigh"]["problems"]),
        (["tasks", "0", "task", "weigh"], item["error"]["problems"]),
    ):
        assert problems == [
            {"path": within + path, "message": message} for path, message in expected
        ]
