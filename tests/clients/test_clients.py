"""GraphQL clients in the configuration of their own documentation get through, each in its way."""

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
def saw(running_script, client):
    """Run a client's script, and give the one thing that it tells."""

    async def run(script, *words):
        async with running_script(script, f"{client.url}/graphql", *words) as told:
            return await told.next()

    return run


async def test_graphql_http_finds_every_audit_met(saw):
    audits = await saw("audits")

    unmet = [f"{a['id']} {a['name']}: {a['reason']}" for a in audits if a["status"] != "ok"]
    assert unmet == []
    assert len(audits) == 61


# An error ends a subscription; some clients tell of the end, too.
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
async def test_a_client_adds_watches_and_reads_and_is_told_what_is_wrong(
    saw, start_worker, script, end
):
    start_worker("celery")

    told = await saw(*script.split())

    task = {"__typename": "AddTask", "id": told["add"]["task"]["id"]}
    assert told == {
        "add": {"__typename": "EnqueueAddSuccess", "task": task | {"state": "SCHEDULED"}},
        "changes": CHANGES,
        "sum": task | {"state": "SUCCEEDED", "result": 3},
        "unknown": None,
        "invalid": ["BAD_USER_INPUT"],
        "notFound": ["NOT_FOUND", *end],
        "invalidWatch": ["BAD_USER_INPUT", *end],
    }


async def test_an_event_source_watches_and_is_told_what_is_wrong(saw, client, start_worker):
    start_worker("celery")
    task_id = await client.enqueue("add", {"start": {"inSeconds": 3}}, x=1, y=2)

    told = await saw("eventsource", task_id)

    assert told == {
        "changes": CHANGES,
        "notFound": ["NOT_FOUND", "complete"],
        "invalidWatch": ["BAD_USER_INPUT", "complete"],
    }


async def test_graphql_ws_opens_when_used_pings_closes_and_is_stopped_at_a_duplicate(saw):
    told = await saw("graphql-ws-socket")

    assert told == {
        "stepsBeforeUse": [],
        "closed": {"code": 1000, "wasClean": True},
        "steps": ["connecting", "connected"],
        "duplicates": [4409, 4409],
    }


@pytest.mark.parametrize("script", ["graphql-ws-retry", "graphql-sse-retry", "eventsource-retry"])
async def test_a_client_goes_on_when_the_server_is_back(running_script, environment, logs, script):
    port, log = reserve_port(), logs / f"{script}.log"
    with ExitStack() as stack:
        url = stack.enter_context(running_api(environment, log, port=port))
        task_id = await Client(url).enqueue("add", IN_TEN_MINUTES, x=1, y=2)
        async with running_script(script, f"{url}/graphql", task_id) as told:
            before = await told.next()
            stack.close()
            with running_api(environment, log, port=port):
                again = await told.next()
                await Client(url).execute(CANCEL, id=task_id)
                rest = [await told.next(), await told.next()]

    assert [before, again] == ["SNAPSHOT SCHEDULED"] * 2
    assert rest == ["STATE CANCELED", "complete"]


async def test_graphql_sse_leaves_one_stream_and_stays_in_another(running_script, client):
    task_id = await client.enqueue("add", IN_TEN_MINUTES, x=1, y=2)

    async with running_script("graphql-sse-abort", f"{client.url}/graphql", task_id) as told:
        firsts, is_left = await told.next(), await told.next()
        await client.execute(CANCEL, id=task_id)
        rest = [await told.next(), await told.next()]

    assert (firsts, is_left) == (["SNAPSHOT SCHEDULED"] * 2, True)
    assert rest == ["STATE CANCELED", "complete"]


async def test_clients_send_a_token_and_are_told_that_they_need_one(
    running_script, redis_url, logs
):
    secret = "a secret that is long enough for everyone"
    environment = {"REDIS_URL": redis_url, "AUTH_JWT_SECRET": secret}
    viewer = Viewer("ann", frozenset(Scope), expires_at=time.time() + 60)
    token = Authenticator(Settings(auth_jwt_secret=secret)).sign(viewer)

    with running_api(environment, logs / "token_api.log") as url:
        async with running_script("token", f"{url}/graphql", token) as told:
            saw = await told.next()

    assert saw == {"socket": "ann", "socketWithout": 4403, "events": "ann", "eventsWithout": 401}
