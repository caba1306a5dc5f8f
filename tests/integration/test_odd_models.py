"""Unusual models and numbers: every accepted value can be read back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.conftest import Site

pytestmark = pytest.mark.slow

TASKS = '''
"""Tasks with models of many kinds."""

from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Annotated

from pydantic import AliasPath, BaseModel, ConfigDict, Field, PlainSerializer, computed_field
from pydantic.alias_generators import to_camel

from tasks.celery_app import app


class Level(IntEnum):
    """Levels."""

    LOW = 1
    HIGH = 2


class Totals(BaseModel):
    """Has only aliases."""

    model_config = ConfigDict(alias_generator=to_camel, serialize_by_alias=True)
    row_count: int


class Strict(BaseModel):
    """Does not accept text as a date."""

    model_config = ConfigDict(strict=True, frozen=True)
    at: datetime
    level: Level
    days: tuple[date, ...]


class Closed(BaseModel):
    """Forbids other fields, and has a computed one."""

    model_config = ConfigDict(extra="forbid")
    width: int = Field(default=2, serialization_alias="w")
    depth: int = Field(default=1, validation_alias=AliasPath("x", "y"))

    @computed_field
    def area(self) -> int:
        """Compute the area."""
        return self.width * self.depth


class All(BaseModel):
    """Contains all of them."""

    model_config = ConfigDict(use_enum_values=True)
    totals: Totals
    strict: Strict
    closed: list[Closed]
    level: Level
    price: Annotated[Decimal, PlainSerializer(float, return_type=float)]


class Found(BaseModel):
    """Was found."""

    name: str


class Missing(BaseModel):
    """Was not found."""

    name: str


class Shelf(BaseModel):
    """What was found and what was not."""

    first: Found | Missing
    rest: list[Found | Missing | None]
    last: Annotated[Found | Missing | None, Field(description="The last.")] = None


class Gone(Missing):
    """A subclass that the result type does not name."""


@app.task
def look_up(name: str) -> Found | Missing:
    """Look something up."""
    return Gone(name=name)


@app.task
def look_around(name: str) -> list[Shelf | Missing | Found | None]:
    """Look everything up."""
    found, missing = Found(name=name), Missing(name=name)
    full = Shelf(first=missing, rest=[found, None, missing])
    return [full, missing, None, Shelf(first=found, rest=[], last=missing), found]


@app.task
def show(all: All) -> All:
    """Return it."""
    return all


@app.task
def size_of(gigabytes: int, offset: Annotated[int, Field(ge=0, le=2**45)] = 0) -> int:
    """Return a size in bytes."""
    return gigabytes * 2**30 + offset


@app.task
def spoil(how: str) -> Totals:
    """Return a model that was changed after validation."""
    made = Totals(rowCount=3)
    made.row_count = {"text": "many", "large": 2**53, "whole": 2**53 - 1}[how]
    return made


@app.task
def rows(totals: Totals, strict: Strict | None = None) -> int:
    """Take a model with aliases."""
    return totals.row_count


@app.task
def narrow(n: int) -> Annotated[int, Field(ge=0, le=9)]:
    """Return it."""
    return n


@app.task(ignore_result=True)
def quiet(n: int) -> int:
    """Ignore the result."""
    return n


@app.task
def number(text: str) -> list[float]:
    """Return a number."""
    return [float(text)]


@app.task
def numbers(count: int) -> list[int]:
    """Return a large number."""
    return [count * 2**40]


@app.task
def finite(text: str) -> Annotated[float, Field(allow_inf_nan=False)]:
    """Return a number that must be finite."""
    return float(text)


class Weight(BaseModel):
    """How much something weighs."""

    net_weight: float
    parts: list[float] = []


@app.task
def weigh(weight: Weight, count: int) -> int:
    """Take a model with numbers."""
    return count


@app.task
def cut() -> str:
    """Return half a character."""
    return "a\\udc80"
'''
ALL = """{
  totals: {rowCount: 5}
  strict: {at: "2030-01-01T00:00:00Z", level: HIGH, days: ["2030-01-02"]}
  closed: [{width: 3, depth: 4}], level: LOW, price: "1.50"
}"""
FIELDS = """{
  totals { rowCount } strict { at level days } closed { width depth } level price
}"""
SHOWN = {
    "totals": {"rowCount": 5},
    "strict": {"at": "2030-01-01T00:00:00+00:00", "level": "HIGH", "days": ["2030-01-02"]},
    "closed": [{"width": 3, "depth": 4}],
    "level": "LOW",
    "price": "1.5",
}


@pytest.fixture(scope="module")
def site(copy_project, running_project):
    with running_project(copy_project(TASKS)) as running:
        yield running


async def ended(site: Site, task: str, fields: str, **arguments: Any) -> dict[str, Any]:
    """Run a task to its end, and return its record."""
    task_id = await site.client.enqueue(task, **arguments)
    await site.ended(task_id)
    name = task[0].upper() + task[1:]
    query = f"query($id: ID!) {{ task(id: $id) {{ ... on {name}Task {{ {fields} }} }} }}"
    return (await site.client.execute(query, id=task_id))["task"]


FAILURE = "state failure { type message }"


async def test_an_accepted_input_is_returned_by_the_mutation_and_later(site):
    enqueue = f"""mutation {{ enqueueShow(input: {{all: {ALL}}}) {{
      ... on EnqueueShowSuccess {{ task {{ id input {{ all {FIELDS} }} }} }} }} }}"""
    read = f"""query($id: ID!) {{ task(id: $id) {{
      state ... on ShowTask {{ input {{ all {FIELDS} }} result {FIELDS} }} }} }}"""

    task = (await site.client.execute(enqueue))["enqueueShow"]["task"]
    state = await site.ended(task["id"])
    later = (await site.client.execute(read, id=task["id"]))["task"]

    assert state == "SUCCEEDED"
    assert task["input"] == later["input"] == {"all": SHOWN}
    assert later["result"] == SHOWN


async def test_a_batch_and_a_step_accept_the_same_input(site):
    batch = f"""mutation {{ enqueueBatch(tasks: [{{task: {{show: {{all: {ALL}}}}}}}]) {{
      ... on EnqueueBatchSuccess {{ items {{ task {{ id }} error {{ message }} }} }} }} }}"""
    step = f"""mutation {{ enqueueWorkflow(
      input: {{canvas: {{step: {{task: {{show: {{all: {ALL}}}}}}}}}}}) {{
      ... on EnqueueWorkflowSuccess {{ task {{ id }} }} }} }}"""

    (item,) = (await site.client.execute(batch))["enqueueBatch"]["items"]
    workflow = (await site.client.execute(step))["enqueueWorkflow"]["task"]

    assert await site.ended(item["task"]["id"]) == "SUCCEEDED"
    assert await site.ended(workflow["id"]) == "SUCCEEDED"


async def test_integers_beyond_32_bits_are_results_and_arguments(site):
    found = await ended(site, "sizeOf", "result input { offset }", gigabytes=3, offset=2**40)

    assert found == {"result": 3 * 2**30 + 2**40, "input": {"offset": 2**40}}


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("sizeOf", {"gigabytes": 2**30}, "the value is an integer beyond ±9007199254740991"),
        ("spoil", {"how": "large"}, "row_count is an integer beyond ±9007199254740991"),
        ("spoil", {"how": "text"}, "row_count: Value should be a valid integer"),
        ("numbers", {"count": 2**22}, ": [0] is an integer beyond ±9007"),
        ("finite", {"text": "inf"}, "finite returned a wrong value: Result should be a finite"),
        ("number", {"text": "nan"}, ": [0] is infinite or not a number"),
        ("number", {"text": "-inf"}, ": [0] is infinite or not a number"),
    ],
)
async def test_a_result_that_no_client_could_read_fails_the_task(site, task, arguments, message):
    found = await ended(site, task, FAILURE, **arguments)

    assert (found["state"], found["failure"]["type"]) == ("FAILED", "InvalidResult")
    assert message in found["failure"]["message"]


WEIGH = """mutation { enqueueWeigh(input: {weight: %s, count: 1}) {
  ... on InvalidInput { problems { path message } } } }"""
STEP = """mutation { enqueueWorkflow(input: {canvas: {step: {task: {weigh: {weight: %s%s}}}}}) {
  ... on InvalidInput { problems { path message } } } }"""


@pytest.mark.parametrize(
    ("weight", "path_in_weight"),
    [("{netWeight: 1e400}", "netWeight"), ("{netWeight: 1, parts: [2, -1e400]}", "parts.1")],
)
async def test_a_number_that_json_cannot_represent_is_refused_by_its_path(
    site, weight, path_in_weight
):
    (alone,) = (await site.client.execute(WEIGH % weight))["enqueueWeigh"]["problems"]
    whole = (await site.client.execute(STEP % (weight, ", count: 1")))["enqueueWorkflow"]
    partial = (await site.client.execute(STEP % (weight, "")))["enqueueWorkflow"]

    assert alone["message"] == "Value is infinite or not a number, which JSON cannot hold"
    assert ".".join(alone["path"]) == f"input.weight.{path_in_weight}"
    for step in (whole, partial):
        paths = [".".join(problem["path"]) for problem in step["problems"]]
        assert f"input.canvas.step.task.weigh.weight.{path_in_weight}" in paths


async def test_a_text_result_with_a_lone_surrogate_fails(site):
    data = await site.client.execute(
        "mutation { enqueueCut { ... on EnqueueCutSuccess { task { id } } } }"
    )
    task_id = data["enqueueCut"]["task"]["id"]
    await site.ended(task_id)
    query = "query($id: ID!) { task(id: $id) { state failure { type } } }"

    assert (await site.client.execute(query, id=task_id))["task"] == {
        "state": "FAILED", "failure": {"type": "InvalidResult"},
    }  # fmt: skip


async def test_the_largest_integer_and_float_are_returned(site):
    large = await ended(site, "spoil", "result { rowCount }", how="whole")
    wide = await ended(site, "number", "result", text="1e308")

    assert (large["result"], wide["result"]) == ({"rowCount": 2**53 - 1}, [1e308])


NAMES = """result {
  __typename ... on Shelf { first { __typename } rest { __typename } last { __typename } }
}"""


async def test_a_union_of_similar_models_keeps_its_type(site):
    one = await ended(site, "lookUp", "result { __typename ... on Missing { name } }", name="x")
    row = await ended(site, "lookAround", NAMES, name="x")

    assert one["result"] == {"__typename": "Missing", "name": "x"}
    found, missing = {"__typename": "Found"}, {"__typename": "Missing"}
    assert row["result"] == [
        {"__typename": "Shelf", "first": missing, "rest": [found, None, missing], "last": None},
        missing,
        None,
        {"__typename": "Shelf", "first": found, "rest": [], "last": missing},
        found,
    ]


async def test_plain_callers_get_the_unchanged_result_of_a_union(site):
    task_id = await site.client.enqueue("lookUp", name="x")
    await site.ended(task_id)

    meta = json.loads(site.redis.get(f"celery-task-meta-{task_id}"))
    assert meta["result"] == {"name": "x"}


@pytest.mark.parametrize("classes", [None, [], ["Nothing"], ["Found", "Found"], ["Found"] * 9])
async def test_class_names_of_another_release_are_harmless(site, classes):
    task_id = await site.client.enqueue("lookUp", name="x")
    await site.ended(task_id)
    key = f"celery-task-meta-{task_id}"
    meta = json.loads(site.redis.get(key)) | {"result_classes": classes}
    site.redis.set(key, json.dumps(meta))

    found = "... on LookUpTask { result { ... on Found { name } } }"
    query = f"query($id: ID!) {{ task(id: $id) {{ {found} }} }}"

    assert await site.client.execute(query, id=task_id) == {"task": {"result": {"name": "x"}}}


async def enqueue_chain(site: Site, *steps: str) -> dict[str, Any]:
    members = " ".join(f"{{step: {{task: {step}}}}}" for step in steps)
    success = "... on EnqueueWorkflowSuccess { task { id } }"
    operation = f"""mutation {{ enqueueWorkflow(input: {{canvas: {{chain: [{members}]}}}}) {{
      __typename {success} ... on Error {{ message }} }} }}"""
    return (await site.client.execute(operation))["enqueueWorkflow"]


async def test_models_of_each_kind_are_passed_to_the_next_step(site):
    aliased = await enqueue_chain(site, '{spoil: {how: "whole"}}', "{rows: {}}")
    all_ = await enqueue_chain(site, f"{{show: {{all: {ALL}}}}}", "{show: {}}")

    assert await site.ended(aliased["task"]["id"]) == "SUCCEEDED"
    assert await site.ended(all_["task"]["id"]) == "SUCCEEDED"


async def test_a_result_that_the_next_step_cannot_take_is_refused_before_any_run(site):
    quiet = await enqueue_chain(site, "{quiet: {n: 1}}", "{sizeOf: {}}")

    assert quiet["__typename"] == "WorkflowTypeMismatch"
    assert "takes int as 'gigabytes', but receives None from 'quiet'" in quiet["message"]


@pytest.mark.parametrize(
    ("task", "arguments", "stored"),
    [
        ("sizeOf", {"gigabytes": 1}, 2**53),
        ("number", {"text": "1"}, [float("nan")]),
        ("narrow", {"n": 1}, 2**31),
    ],
)
async def test_a_value_of_another_release_fails_only_its_own_field(site, task, arguments, stored):
    task_id = await site.client.enqueue(task, **arguments)
    await site.ended(task_id)
    key = f"celery-task-meta-{task_id}"
    meta = json.loads(site.redis.get(key)) | {"result": stored}
    site.redis.set(key, json.dumps(meta))
    name = task[0].upper() + task[1:]
    query = f"query($id: ID!) {{ task(id: $id) {{ state ... on {name}Task {{ result }} }} }}"

    answer = await site.client.answer(query, id=task_id)

    assert answer["data"]["task"] == {"state": "SUCCEEDED", "result": None}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "STORED_BY_ANOTHER_RELEASE"
