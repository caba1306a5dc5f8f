"""Test that GraphQL clients work when configured as in their own documentation."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from celeryql.settings import Settings
from graphql_api.auth.authenticator import Authenticator, Viewer
from graphql_api.auth.viewer import Scope
from graphql_api.local.redis_server import reserve_port
from tests.client import Client
from tests.processes import running_api

pytestmark = pytest.mark.slow

CHANGES = ["SNAPSHOT SCHEDULED", "STATE QUEUED", "STATE RUNNING", "STATE SUCCEEDED", "complete"]
IN_TEN_MINUTES = {"start": {"inSeconds": 600}}
CANCEL = "mutation($id: ID!) { cancelTask(id: $id) { ... on CancelTaskSuccess { canceled } } }"


@pytest.fixture
def report_of(running_script, client):
    """Run a client's script and return its only report."""

    async def run(script, *parameters):
        async with running_script(script, f"{client.url}/graphql", *parameters) as output:
            return await output.next()

    return run


async def test_the_api_passes_every_audit_of_graphql_http(report_of):
    audits = await report_of("audits")

    unmet = [f"{a['id']} {a['name']}: {a['reason']}" for a in audits if a["status"] != "ok"]
    assert unmet == []
    assert len(audits) == 61


# An error ends a subscription; some clients report the end as well.
@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("graphql-ws", []),
        ("graphql-sse", ["complete"]),
        ("apollo websocket", ["complete"]),
        ("apollo multipart", ["complete"]),
        ("apollo persisted", ["complete"]),
        ("urql websocket", []),
        ("urql events", []),
        ("relay", []),
    ],
    ids=lambda parameter: parameter if isinstance(parameter, str) else "",
)
async def test_a_client_mutates_subscribes_queries_and_receives_errors(
    report_of, start_worker, script, end
):
    start_worker("celery")

    report = await report_of(*script.split())

    task = {"__typename": "AddTask", "id": report["add"]["task"]["id"]}
    assert report == {
        "add": {"__typename": "EnqueueAddSuccess", "task": task | {"state": "SCHEDULED"}},
        "changes": CHANGES,
        "sum": task | {"state": "SUCCEEDED", "result": 3},
        "unknown": None,
        "invalid": ["BAD_USER_INPUT"],
        "notFound": ["NOT_FOUND", *end],
        "invalidWatch": ["BAD_USER_INPUT", *end],
    }


async def test_an_event_source_subscribes_and_receives_errors(report_of, client, start_worker):
    start_worker("celery")
    task_id = await client.enqueue("add", {"start": {"inSeconds": 3}}, x=1, y=2)

    report = await report_of("eventsource", task_id)

    assert report == {
        "changes": CHANGES,
        "notFound": ["NOT_FOUND", "complete"],
        "invalidWatch": ["BAD_USER_INPUT", "complete"],
    }


async def test_graphql_ws_connects_lazily_pings_closes_and_is_refused_duplicate_ids(report_of):
    report = await report_of("graphql-ws-socket")

    assert report == {
        "stepsBeforeUse": [],
        "closed": {"code": 1000, "wasClean": True},
        "steps": ["connecting", "connected"],
        "duplicates": [4409, 4409],
    }


@pytest.mark.parametrize("script", ["graphql-ws-retry", "graphql-sse-retry", "eventsource-retry"])
async def test_a_client_resumes_when_the_server_is_back(running_script, environment, logs, script):
    port, log = reserve_port(), logs / f"{script}.log"
    with ExitStack() as stack:
        url = stack.enter_context(running_api(environment, log, port=port))
        task_id = await Client(url).enqueue("add", IN_TEN_MINUTES, x=1, y=2)
        async with running_script(script, f"{url}/graphql", task_id) as output:
            before = await output.next()
            stack.close()
            with running_api(environment, log, port=port):
                after = await output.next()
                await Client(url).execute(CANCEL, id=task_id)
                rest = [await output.next(), await output.next()]

    assert [before, after] == ["SNAPSHOT SCHEDULED"] * 2
    assert rest == ["STATE CANCELED", "complete"]


async def test_graphql_sse_cancels_one_stream_and_continues_another(running_script, client):
    task_id = await client.enqueue("add", IN_TEN_MINUTES, x=1, y=2)

    async with running_script("graphql-sse-abort", f"{client.url}/graphql", task_id) as output:
        firsts, is_canceled = await output.next(), await output.next()
        await client.execute(CANCEL, id=task_id)
        rest = [await output.next(), await output.next()]

    assert (firsts, is_canceled) == (["SNAPSHOT SCHEDULED"] * 2, True)
    assert rest == ["STATE CANCELED", "complete"]


async def test_clients_can_send_a_token_and_are_refused_without_one(
    running_script, redis_url, logs
):
    secret = "a secret that is long enough for everyone"
    environment = {"REDIS_URL": redis_url, "AUTH_JWT_SECRET": secret}
    viewer = Viewer("ann", frozenset(Scope), expires_at=time.time() + 60)
    token = Authenticator(Settings(auth_jwt_secret=secret)).sign(viewer)

    with running_api(environment, logs / "token_api.log") as url:
        async with running_script("token", f"{url}/graphql", token) as output:
            report = await output.next()

    assert report == {
        "socket": "ann",
        "socketWithout": 4403,
        "events": "ann",
        "eventsWithout": 401,
    }
