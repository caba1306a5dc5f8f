"""Retries of tasks whose definitions have changed: each mismatch is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import running_api, running_worker

pytestmark = pytest.mark.slow

EARLIER = '''
"""Tasks that change."""

from typing import Annotated

from pydantic import Field

from tasks.celery_app import app
from celeryql import Sensitive


@app.task
def tighten(text: str) -> str:
    """Return it."""
    return text


@app.task
def rename(old: int) -> int:
    """Return it."""
    return old


@app.task
def fail(text: str) -> str:
    """Fail."""
    raise ValueError(text)


@app.task
def take(text: Annotated[str, Field(max_length=3)], times: int = 1) -> str:
    """Return it."""
    return text


@app.task
def vanish(n: int) -> int:
    """Be removed."""
    return n


@app.task
def same(n: int) -> int:
    """Stay."""
    return n
'''
LATER = (
    EARLIER.replace(
        "def tighten(text: str)", "def tighten(text: Annotated[str, Field(max_length=9)])"
    )
    .replace("def rename(old: int) -> int", "def rename(new: int) -> str")
    .replace("return old", "return str(new)")
    .replace("times: int = 1", "times: Annotated[int, Field(ge=2)] = 2")
    .replace('@app.task\ndef vanish(n: int) -> int:\n    """Be removed."""\n    return n\n', "")
)
ENDED = "subscription($id: ID!) { task(id: $id) { task { id state } } }"
RETRY = """mutation($id: ID!, $from: RetryFrom! = START) { retryTask(id: $id, from: $from) {
  __typename ... on InvalidInput { problems { path message } } } }"""
STEPS = "query($id: ID!) { task(id: $id) { ... on Workflow { steps { key task { id } } } } }"


def chain(*steps: dict[str, Any]) -> dict[str, Any]:
    members = [{"step": {"key": f"{i}", "task": task}} for i, task in enumerate(steps)]
    return {"canvas": {"chain": members}}


LONG = "more than nine characters"
GIVEN: dict[str, tuple[str, dict[str, Any]]] = {
    "tightened": ("tighten", {"text": LONG}),
    "renamed": ("rename", {"old": 3}),
    "gone": ("vanish", {"n": 3}),
    "same": ("same", {"n": 3}),
    "failed": ("workflow", chain({"fail": {"text": "no"}}, {"take": {"times": 2}})),
    "unfit": ("workflow", chain({"tighten": {"text": LONG}}, {"take": {}})),
    "types": ("workflow", chain({"rename": {"old": 3}}, {"same": {}})),
    "given": ("workflow", chain({"tighten": {"text": "ok"}}, {"take": {"times": 1}})),
}


@dataclass(frozen=True)
class Later:
    """The later release, the ids of the tasks that the earlier one ran, and of its steps."""

    client: Client
    ids: dict[str, str]

    async def retry(self, name: str, from_: str = "START") -> list[str]:
        """Retry a task, and return the problems."""
        answer = await self.client.execute(RETRY, id=self.ids[name], **{"from": from_})
        problems = answer["retryTask"].get("problems", [])
        assert {tuple(problem["path"]) for problem in problems} <= {("id",)}
        return [problem["message"] for problem in problems]


@pytest.fixture(scope="module")
def later(copy_project, tmp_path_factory) -> Iterator[Later]:
    folder = tmp_path_factory.mktemp("releases")
    with private_redis(folder / "redis") as url:
        settings = {"REDIS_URL": url}
        earlier = copy_project(EARLIER)
        with (
            running_api(settings, folder / "earlier.log", project=earlier) as api,
            running_worker("celery", settings, folder / "worker.log", project=earlier),
        ):
            ids = asyncio.run(run_all(Client(api)))
        with running_api(settings, folder / "later.log", project=copy_project(LATER)) as api:
            yield Later(Client(api), ids)


async def run_all(client: Client) -> dict[str, str]:
    ids = {}
    for name, (task, given) in GIVEN.items():
        ids[name] = await client.enqueue(task, **given)
        await client.events(ENDED, id=ids[name])
        for step in (await client.execute(STEPS, id=ids[name]))["task"].get("steps", []):
            ids[f"{name} {step['key']}"] = step["task"]["id"]
    return ids


async def test_a_task_that_still_fits_is_run_again(later):
    assert await later.retry("same") == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "tightened",
            (
                "The task's input does not fit 'tighten' as it is defined now (text: String should "
                "have at most 9 characters): enqueue it with another input"
            ),
        ),
        (
            "renamed",
            (
                "The task's input does not fit 'rename' as it is defined now (new: Field required; "
                "old: Extra inputs are not permitted): enqueue it with another input"
            ),
        ),
        ("gone", "There is no task definition 'vanish' any more"),
        ("failed 1", "The step never received argument 'text': retry workflow {failed}"),
        ("unfit 1", "The step received no valid argument 'text': retry workflow {unfit}"),
    ],
)
async def test_each_mismatch_is_reported(later, name, reason):
    assert await later.retry(name) == [reason.format_map(later.ids)]


async def test_each_step_of_a_workflow_is_checked_before_anything_runs(later):
    assert await later.retry("unfit") == [
        (
            "Step '0': does not fit 'tighten' as it is defined now (text: String should have at "
            "most 9 characters)"
        )
    ]
    assert await later.retry("types") == [
        (
            "Step '0': does not fit 'rename' as it is defined now (new: Field required; old: Extra "
            "inputs are not permitted)"
        ),
        "Step '1': it takes int as 'n' now, but receives str",
    ]
    assert await later.retry("given") == [
        (
            "Step '1': does not fit 'take' as it is defined now (times: Input should be greater "
            "than or equal to 2)"
        )
    ]


async def test_steps_that_are_not_run_again_need_not_fit(later):
    assert await later.retry("unfit", "FAILED_STEPS") == [
        (
            "Step '1': does not fit 'take' as it is defined now (text: String should have at "
            "most 3 characters)"
        )
    ]
    assert await later.retry("failed") == []
