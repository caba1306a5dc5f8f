"""The options of a task: start time, priority, attempts, expiry and tags."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.test_control import CANCEL, TASKS
from tests.processes import running_worker, wait_until

pytestmark = pytest.mark.slow

TASK = """
query($id: ID!) { task(id: $id) {
  state celeryState priority scheduledFor expiresAt createdAt startedAt attempt } }
"""


@pytest.fixture(scope="module")
def place(copy_project, running_project):
    with running_project(copy_project(TASKS)) as place:
        yield place


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(TASKS)


@pytest.fixture
def idle_place(project, running_project):
    """A project without a worker."""
    with running_project(project, pool=None) as place:
        yield place


TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def read(place, task_id: str) -> dict:
    task = (await place.client.execute(TASK, id=task_id))["task"]
    times = ("scheduledFor", "expiresAt", "createdAt", "startedAt")
    return task | {name: task[name] and datetime.fromisoformat(task[name]) for name in times}


async def test_a_task_starts_within_a_second_of_its_start_time(place, ledger):
    start = datetime.now(UTC) + timedelta(seconds=1.5)
    at = {"start": {"at": start.isoformat()}}
    ids = [
        await place.enqueue("nap", ledger, at, name="at"),
        await place.enqueue("nap", ledger, {"start": {"inSeconds": 1.5}}, name="in"),
    ]
    before = [await read(place, task_id) for task_id in ids]

    states = [await place.ended(task_id) for task_id in ids]

    assert [(t["state"], t["celeryState"]) for t in before] == [("SCHEDULED", "PENDING")] * 2
    assert abs(before[0]["scheduledFor"] - start) < timedelta(milliseconds=2)
    assert states == ["SUCCEEDED", "SUCCEEDED"]
    for task_id in ids:
        task = await read(place, task_id)
        late = task["startedAt"] - task["scheduledFor"]
        assert timedelta(0) <= late < timedelta(seconds=1), late


async def test_a_start_time_in_the_past_means_now(place, ledger):
    options = {"start": {"at": "2020-01-01T00:00:00Z"}}

    task_id = await place.enqueue("nap", ledger, options, name="a")

    assert await place.ended(task_id) == "SUCCEEDED"
    assert (await read(place, task_id))["scheduledFor"] is None


async def test_a_scheduled_task_that_is_canceled_never_runs(place, ledger):
    task_id = await place.enqueue("nap", ledger, {"start": {"inSeconds": 1}}, name="a")

    answer = (await place.client.execute(CANCEL, id=task_id))["cancelTask"]

    later = await place.enqueue("nap", ledger, {"start": {"inSeconds": 1.2}}, name="b")
    assert answer["task"]["state"] == "CANCELED"
    assert await place.ended(later) == "SUCCEEDED"
    assert ledger.read_text().split() == ["b"]
    assert place.redis.exists("celeryql:scheduled", "celeryql:scheduled_messages") == 0


async def test_a_scheduled_workflow_starts_at_its_start_time(place, ledger):
    step = f'{{step: {{task: {{nap: {{ledger: "{ledger}", name: "a"}}}}}}}}'
    data = await place.client.execute(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {{group: [{step}, {step}]}}}},"
        " options: {start: {inSeconds: 1}})"
        " { ... on EnqueueWorkflowSuccess { task { id state counts { scheduled } } } } }"
    )
    task = data["enqueueWorkflow"]["task"]

    assert (task["state"], task["counts"]["scheduled"]) == ("SCHEDULED", 2)
    assert await place.ended(task["id"]) == "SUCCEEDED"


async def test_a_task_that_has_not_started_in_time_expires_and_never_runs(
    idle_place, project, ledger
):
    place = idle_place
    late = await place.enqueue("nap", ledger, {"expiresInSeconds": 0.3}, name="late")
    options = {"start": {"inSeconds": 0.2}, "expiresInSeconds": 0.3}
    ahead = await place.enqueue("nap", ledger, options, name="ahead")
    kept = await place.enqueue("nap", ledger, {"expiresInSeconds": 60}, name="kept")

    assert [await place.ended(task_id) for task_id in (late, ahead)] == ["EXPIRED", "EXPIRED"]

    log = ledger.with_name("worker.log")
    with running_worker("celery", {"REDIS_URL": place.url}, log, project=project):
        assert await place.ended(kept) == "SUCCEEDED"
        assert await place.ended(await place.enqueue("nap", ledger, name="end")) == "SUCCEEDED"
    task = await read(place, late)
    assert task["celeryState"] == "REVOKED"
    assert task["expiresAt"] - task["createdAt"] == timedelta(seconds=0.3)
    assert sorted(ledger.read_text().split()) == ["end", "kept"]


async def test_a_worker_takes_urgent_tasks_first(idle_place, project, ledger):
    place = idle_place
    for i in range(3):
        for priority in ("LOW", "NORMAL", "HIGH"):
            await place.enqueue("nap", ledger, {"priority": priority}, name=f"{priority}{i}")
    queues = await place.client.execute("{ queues { name depth } }")
    assert queues["queues"][0] == {"name": "celery", "depth": 9}

    log = ledger.with_name("worker.log")
    with running_worker("celery", {"REDIS_URL": place.url}, log, project=project, pool="solo"):
        wait_until(lambda: ledger.read_text().count("\n") == 9, "all tasks run")

    expected = [f"{priority}{i}" for priority in ("HIGH", "NORMAL", "LOW") for i in range(3)]
    assert ledger.read_text().split() == expected


async def test_a_cancellation_reports_tasks_that_a_solo_worker_cannot_stop(
    idle_place, project, ledger
):
    place = idle_place
    log = ledger.with_name("worker.log")
    with running_worker("celery", {"REDIS_URL": place.url}, log, project=project, pool="solo"):
        task_id = await place.enqueue("nap", ledger, name="a", seconds=1)
        wait_until(ledger.read_text, "task running")

        answer = (await place.client.execute(CANCEL, id=task_id, terminate=True))["cancelTask"]

        assert (answer["canceled"], answer["stillRunning"]) == (0, [{"id": task_id}])
        assert await place.ended(task_id) == "SUCCEEDED"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ("{maxAttempts: 0}", ["options", "maxAttempts"]),
        ("{maxAttempts: 101}", ["options", "maxAttempts"]),
        ("{expiresInSeconds: 0}", ["options", "expiresInSeconds"]),
        ("{start: {inSeconds: 60}, expiresInSeconds: 1}", ["options", "expiresInSeconds"]),
        ("{start: {inSeconds: 60}, expiresInSeconds: 60}", ["options", "expiresInSeconds"]),
        pytest.param(
            f'{{start: {{at: "{TOMORROW.isoformat()}"}}, expiresInSeconds: 60}}',
            ["options", "expiresInSeconds"],
            id="expires before it starts tomorrow",
        ),
        ("{start: {inSeconds: -1}}", ["options", "start", "inSeconds"]),
        ("{start: {inSeconds: 1e12}}", ["options", "start", "inSeconds"]),
        ('{start: {at: "9999-12-31T23:59:59-14:00"}}', ["options", "start", "at"]),
        ('{idempotencyKey: ""}', ["options", "idempotencyKey"]),
        ('{tags: ["a", ""]}', ["options", "tags", "1"]),
    ],
)
async def test_an_option_beyond_its_limit_is_refused_by_its_path(place, options, path):
    data = await place.client.execute(
        f"mutation {{ enqueueAdd(input: {{x: 1, y: 2}}, options: {options})"
        " { __typename ... on InvalidInput { message problems { path } } } }"
    )

    assert data["enqueueAdd"]["__typename"] == "InvalidInput"
    assert [problem["path"] for problem in data["enqueueAdd"]["problems"]] == [path]
    assert ".".join(path) in data["enqueueAdd"]["message"]
