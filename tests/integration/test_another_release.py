"""Tasks that an earlier release of the project stored, read by a later one.

A change makes only the `input` or `result` of the affected tasks unreadable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import running_api, running_worker

pytestmark = pytest.mark.slow

EARLIER = '''
"""Paintings."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from tasks.celery_app import app
from celeryql import Sensitive


class Color(StrEnum):
    """Colors."""

    RED = "red"
    BLUE = "blue"


class Picture(BaseModel):
    """A picture."""

    title: str
    colors: list[Color] = []


class Note(BaseModel):
    """A note."""

    text: str


@app.task
def paint(color: Color) -> Color:
    """Paint."""
    return color


@app.task
def frame(title: str) -> Picture:
    """Its model gains a required field, and its argument is renamed."""
    return Picture(title=title)


@app.task
def hang(picture: Picture) -> int:
    """Its model and its result type change."""
    return len(picture.title)


@app.task
def write(text: str, key: Annotated[str, Sensitive] = "") -> Note:
    """Its limits are tightened, and its secret is no longer one."""
    return Note(text=text)


@app.task
def sell(price: int) -> int:
    """Be removed."""
    return price
'''
LATER = (
    EARLIER.replace('BLUE = "blue"', 'GREEN = "green"')
    .replace("    title: str\n    colors", "    title: str\n    painter: str\n    colors")
    .replace("frame(title: str)", "frame(name: str, width: int)")
    .replace("title=title", 'title=name, painter=""')
    .replace("def hang(picture: Picture) -> int:", "def hang(picture: Picture) -> list[str]:")
    .replace("return len(picture.title)", "return [picture.title]")
    .replace("text: str,", "text: Annotated[str, Field(max_length=3)],")
    .replace("    text: str\n", "    text: str = Field(max_length=3)\n")
    .replace("Annotated[str, Sensitive]", "str")
    .partition("\n\n@app.task\ndef sell")[0]
)
FIELDS = """
id __typename state
... on PaintTask { input { color } painted: result }
... on FrameTask { input { name width } framed: result { title painter } }
... on HangTask { input { picture { title } } hung: result }
... on WriteTask { input { text key } written: result { text } }
... on Workflow { name steps { key task { id state ...painted } } output { id ...painted } }
"""
PAINTED = "fragment painted on PaintTask { painted: result }"
LIST = f"{{ tasks(first: 50) {{ nodes {{ {FIELDS} }} }} }} {PAINTED}"
ONE = f"query($id: ID!) {{ task(id: $id) {{ {FIELDS} }} }} {PAINTED}"
WATCH = f"subscription($id: ID!) {{ task(id: $id) {{ kind task {{ {FIELDS} }} }} }} {PAINTED}"
ENDED = "subscription($id: ID!) { task(id: $id) { task { id state } } }"
GIVEN = {
    "paint": {"color": "BLUE"},
    "kept": {"color": "RED"},
    "frame": {"title": "Waves"},
    "hang": {"picture": {"title": "Waves"}},
    "write": {"text": "a long text", "key": "hush"},
    "sell": {"price": 3},
}
CHAIN = {"canvas": {"chain": [{"step": {"key": "first", "task": {"paint": {"color": "BLUE"}}}}]}}


@dataclass(frozen=True)
class Later:
    """The later release, and the ids of the tasks that the earlier one ran."""

    client: Client
    ids: dict[str, str]

    async def read(self, name: str) -> tuple[dict, dict[str, str]]:
        """Read one task, and the error code of each field."""
        answer = await self.client.answer(ONE, id=self.ids[name])
        return answer["data"]["task"], codes(answer)


def codes(answer: dict) -> dict[str, str]:
    return {
        ".".join(map(str, error["path"])): error["extensions"]["code"]
        for error in answer.get("errors", [])
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    with private_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def ids(url, copy_project, tmp_path_factory) -> dict[str, str]:
    folder, project = tmp_path_factory.mktemp("earlier"), copy_project(EARLIER)
    settings = {"REDIS_URL": url}
    with (
        running_api(settings, folder / "api.log", project=project) as api,
        running_worker("celery", settings, folder / "worker.log", project=project),
    ):
        return asyncio.run(run_all(Client(api)))


async def run_all(client: Client) -> dict[str, str]:
    tasks = {
        name: await client.enqueue("paint" if name == "kept" else name, **given)
        for name, given in GIVEN.items()
    }
    tasks["workflow"] = await client.enqueue("workflow", **CHAIN)
    for task_id in tasks.values():
        events = await client.events(ENDED, id=task_id)
        assert events[-1]["task"] == {"id": task_id, "state": "SUCCEEDED"}
    return tasks


@pytest.fixture(scope="module")
def later(ids, url, copy_project, tmp_path_factory) -> Iterator[Later]:
    log = tmp_path_factory.mktemp("later") / "api.log"
    with running_api({"REDIS_URL": url}, log, project=copy_project(LATER)) as api:
        yield Later(Client(api), ids)


async def test_a_list_shows_every_task(later):
    answer = await later.client.answer(LIST)

    nodes = {node["id"]: node for node in answer["data"]["tasks"]["nodes"]}
    assert {nodes[id_]["state"] for id_ in later.ids.values()} == {"SUCCEEDED"}
    assert nodes[later.ids["kept"]]["input"] == {"color": "RED"}
    assert nodes[later.ids["kept"]]["painted"] == "RED"
    assert set(codes(answer).values()) == {"STORED_BY_ANOTHER_RELEASE"}


async def test_a_removed_enum_member_fails_only_the_fields_that_hold_it(later):
    task, errors = await later.read("paint")

    assert (task["state"], task["input"], task["painted"]) == ("SUCCEEDED", None, None)
    assert errors == dict.fromkeys(("task.input", "task.painted"), "STORED_BY_ANOTHER_RELEASE")


async def test_the_error_names_the_mismatch_and_the_remedy(later):
    answer = await later.client.answer(ONE, id=later.ids["paint"])

    by_field = {error["path"][-1]: error["message"] for error in answer["errors"]}
    assert by_field["input"] == (
        "The input was stored by another release of 'paint' and does not fit its types in this "
        "release (input.color: Input should be 'red' or 'green'). Restore what the types lost, or "
        "read it with that release."
    )


async def test_a_renamed_argument_is_null_and_a_new_required_field_fails_the_result(later):
    task, errors = await later.read("frame")

    assert task["input"] == {"name": None, "width": None}
    assert task["framed"] is None
    assert errors == {"task.framed": "STORED_BY_ANOTHER_RELEASE"}


async def test_a_changed_type_fails_only_its_own_field(later):
    task, errors = await later.read("hang")

    assert (task["input"], task["hung"]) == (None, None)
    assert errors == dict.fromkeys(("task.input", "task.hung"), "STORED_BY_ANOTHER_RELEASE")


async def test_tightened_limits_hide_nothing(later):
    task, errors = await later.read("write")

    assert task["input"] == {"text": "a long text", "key": None}
    assert task["written"] == {"text": "a long text"}
    assert errors == {}


async def test_a_task_without_a_definition_has_no_input_and_no_result(later):
    task, errors = await later.read("sell")

    assert task == {"id": later.ids["sell"], "__typename": "UndefinedTask", "state": "SUCCEEDED"}
    assert errors == {}


async def test_a_mismatch_in_a_step_fails_only_the_fields_of_that_step(later):
    task, errors = await later.read("workflow")

    (step,), (output,) = task["steps"], task["output"]
    assert (step["key"], step["task"]["state"], step["task"]["painted"]) == (
        "first", "SUCCEEDED", None,
    )  # fmt: skip
    assert (output["id"], output["painted"]) == (step["task"]["id"], None)
    assert errors == dict.fromkeys(
        ("task.steps.0.task.painted", "task.output.0.painted"), "STORED_BY_ANOTHER_RELEASE"
    )


async def test_an_event_contains_its_task(later):
    (message,) = [m async for m in later.client.watch(WATCH, id=later.ids["paint"])]

    event = message["payload"]["data"]["task"]
    assert (event["kind"], event["task"]["state"]) == ("SNAPSHOT", "SUCCEEDED")
    assert (event["task"]["input"], event["task"]["painted"]) == (None, None)
    assert codes(message["payload"]) == dict.fromkeys(
        ("task.task.input", "task.task.painted"), "STORED_BY_ANOTHER_RELEASE"
    )
