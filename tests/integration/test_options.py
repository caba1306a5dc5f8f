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
def site(copy_project, running_project):
    with running_project(copy_project(TASKS)) as site:
        yield site


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(TASKS)


@pytest.fixture
def idle_site(project, running_project):
    """A project without a worker."""
    with running_project(project, pool=None) as site:
        yield site


TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def read(site, task_id: str) -> dict:
    task = (await site.client.execute(TASK, id=task_id))["task"]
    times = ("scheduledFor", "expiresAt", "createdAt", "startedAt")
    return task | {name: task[name] and datetime.fromisoformat(task[name]) for name in times}


async def test_a_task_starts_within_a_second_of_its_start_time(site, ledger):
    start = datetime.now(UTC) + timedelta(seconds=3)
    at = {"start": {"at": start.isoformat()}}
    ids = [
        await site.enqueue("nap", ledger, at, name="at"),
        await site.enqueue("nap", ledger, {"start": {"inSeconds": 3}}, name="in"),
    ]
    before = [await read(site, task_id) for task_id in ids]

    states = [await site.ended(task_id) for task_id in ids]

    assert [(t["state"], t["celeryState"]) for t in before] == [("SCHEDULED", "PENDING")] * 2
    assert abs(before[0]["scheduledFor"] - start) < timedelta(milliseconds=2)
    assert states == ["SUCCEEDED", "SUCCEEDED"]
    for task_id in ids:
        task = await read(site, task_id)
        late = task["startedAt"] - task["scheduledFor"]
        assert timedelta(0) <= late < timedelta(seconds=1), late


async def test_a_start_time_in_the_past_means_now(site, ledger):
    options = {"start": {"at": "2020-01-01T00:00:00Z"}}

    task_id = await site.enqueue("nap", ledger, options, name="a")

    assert await site.ended(task_id) == "SUCCEEDED"
    assert (await read(site, task_id))["scheduledFor"] is None


async def test_a_scheduled_task_that_is_canceled_never_runs(site, ledger):
    task_id = await site.enqueue("nap", ledger, {"start": {"inSeconds": 1}}, name="a")

    answer = (await site.client.execute(CANCEL, id=task_id))["cancelTask"]

    later = await site.enqueue("nap", ledger, {"start": {"inSeconds": 1.2}}, name="b")
    assert answer["task"]["state"] == "CANCELED"
    assert await site.ended(later) == "SUCCEEDED"
    assert ledger.read_text().split() == ["b"]
    assert site.redis.exists("celeryql:scheduled", "celeryql:scheduled_messages") == 0


async def test_a_scheduled_workflow_starts_at_its_start_time(site, ledger):
    step = f'{{step: {{task: {{nap: {{ledger: "{ledger}", name: "a"}}}}}}}}'
    data = await site.client.execute(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {{group: [{step}, {step}]}}}},"
        " options: {start: {inSeconds: 1}})"
        " { ... on EnqueueWorkflowSuccess { task { id state counts { scheduled } } } } }"
    )
    task = data["enqueueWorkflow"]["task"]

    assert (task["state"], task["counts"]["scheduled"]) == ("SCHEDULED", 2)
    assert await site.ended(task["id"]) == "SUCCEEDED"


async def test_a_task_that_has_not_started_in_time_expires_and_never_runs(
    idle_site, project, ledger
):
    site = idle_site
    late = await site.enqueue("nap", ledger, {"expiresInSeconds": 0.3}, name="late")
    options = {"start": {"inSeconds": 0.2}, "expiresInSeconds": 0.3}
    ahead = await site.enqueue("nap", ledger, options, name="ahead")
    kept = await site.enqueue("nap", ledger, {"expiresInSeconds": 60}, name="kept")

    assert [await site.ended(task_id) for task_id in (late, ahead)] == ["EXPIRED", "EXPIRED"]

    log = ledger.with_name("worker.log")
    with running_worker("celery", {"REDIS_URL": site.url}, log, project=project):
        assert await site.ended(kept) == "SUCCEEDED"
        assert await site.ended(await site.enqueue("nap", ledger, name="end")) == "SUCCEEDED"
    task = await read(site, late)
    assert task["celeryState"] == "REVOKED"
    assert task["expiresAt"] - task["createdAt"] == timedelta(seconds=0.3)
    assert sorted(ledger.read_text().split()) == ["end", "kept"]


async def test_a_worker_takes_urgent_tasks_first(idle_site, project, ledger):
    site = idle_site
    for i in range(3):
        for priority in ("LOW", "NORMAL", "HIGH"):
            await site.enqueue("nap", ledger, {"priority": priority}, name=f"{priority}{i}")
    queues = await site.client.execute("{ queues { name depth } }")
    assert queues["queues"][0] == {"name": "celery", "depth": 9}

    log = ledger.with_name("worker.log")
    with running_worker("celery", {"REDIS_URL": site.url}, log, project=project, pool="solo"):
        wait_until(lambda: ledger.read_text().count("\n") == 9, "all tasks run")

    expected = [f"{priority}{i}" for priority in ("HIGH", "NORMAL", "LOW") for i in range(3)]
    assert ledger.read_text().split() == expected


async def test_a_cancellation_reports_tasks_that_a_solo_worker_cannot_stop(
    idle_site, project, ledger
):
    site = idle_site
    log = ledger.with_name("worker.log")
    with running_worker("celery", {"REDIS_URL": site.url}, log, project=project, pool="solo"):
        task_id = await site.enqueue("nap", ledger, name="a", seconds=1)
        wait_until(ledger.read_text, "task running")

        answer = (await site.client.execute(CANCEL, id=task_id, terminate=True))["cancelTask"]

        assert (answer["canceled"], answer["stillRunning"]) == (0, [{"id": task_id}])
        assert await site.ended(task_id) == "SUCCEEDED"


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
async def test_an_option_beyond_its_limit_is_refused_by_its_path(site, options, path):
    data = await site.client.execute(
        f"mutation {{ enqueueAdd(input: {{x: 1, y: 2}}, options: {options})"
        " { __typename ... on InvalidInput { message problems { path } } } }"
    )

    assert data["enqueueAdd"]["__typename"] == "InvalidInput"
    assert [problem["path"] for problem in data["enqueueAdd"]["problems"]] == [path]
    assert ".".join(path) in data["enqueueAdd"]["message"]
