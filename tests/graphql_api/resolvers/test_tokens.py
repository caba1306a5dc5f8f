"""What tokens from `createToken` allow, what they never allow, and that the API accepts them."""

from __future__ import annotations

import time
from datetime import datetime

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from celeryql.settings import Settings
from graphql_api.auth.authenticator import Authenticator, Viewer
from graphql_api.auth.viewer import Scope
from tests.graphql_api.conftest import LocalClient
from tests.jwks import jwks
from tests.processes import running_api

CREATE = """
mutation($input: CreateTokenInput!) { createToken(input: $input) {
  __typename
  ... on CreateTokenSuccess { token expiresAt scopes }
  ... on InvalidInput { message problems { path message } }
  ... on Forbidden { message missing }
} }
"""
VIEWER = "{ viewer { subject scopes } }"
ENQUEUE, READ, CONTROL, CLUSTER, ADMIN = Scope


async def create(local_client, *scopes: Scope, **given):
    wanted = {"scopes": [scope.name for scope in scopes]} | given
    return (await local_client.execute(CREATE, input=wanted))["createToken"]


async def viewer_of(local_client, *scopes: Scope, **given) -> Viewer:
    """Create a token, and return its viewer."""
    created = await create(local_client, *scopes, **given)
    viewer = await local_client.context.authenticator.authenticate(f"Bearer {created['token']}")
    assert datetime.fromisoformat(created["expiresAt"]).timestamp() == pytest.approx(
        viewer.expires_at, abs=0.001
    )
    return viewer


async def problem(local_client, *scopes: Scope, **given):
    created = await create(local_client, *(scopes or (READ,)), **given)
    assert created["__typename"] == "InvalidInput"
    (found,) = created["problems"]
    return ".".join(found["path"]), found["message"]


async def test_a_token_has_only_the_requested_scopes(client_for):
    viewer = await viewer_of(client_for("ann"), READ, CONTROL)

    assert (viewer.subject, viewer.scopes) == ("ann", {READ, CONTROL})
    assert (viewer.definitions, viewer.task_ids) == (None, None)
    assert viewer.expires_at == pytest.approx(time.time() + 900, abs=5)


async def test_a_token_cannot_have_scopes_that_the_caller_lacks(client_for):
    created = await create(client_for("ann", READ), READ, CONTROL, CLUSTER)

    assert (created["__typename"], created["missing"]) == ("Forbidden", "CONTROL")


async def test_an_admin_can_create_a_token_with_any_scope(client_for):
    assert (await viewer_of(client_for("eve", ADMIN), ENQUEUE, ADMIN)).scopes == {ENQUEUE, ADMIN}


async def test_a_token_never_outlives_the_callers_token(client_for):
    soon = time.time() + 30

    assert (await viewer_of(client_for("ann", expires_at=soon), READ)).expires_at == soon
    brief = await viewer_of(client_for("ann", expires_at=soon), READ, expiresInSeconds=1)
    assert brief.expires_at == pytest.approx(time.time() + 1, abs=1)


@pytest.mark.parametrize("life", [0, 0.9, -1, 86_401, 1e300])
async def test_a_token_lives_between_a_second_and_a_day(client_for, life):
    path, message = await problem(client_for("ann"), expiresInSeconds=life)

    assert path == "input.expiresInSeconds"
    assert message.startswith("The lifetime must be 1 to 86,400 seconds, not")


async def test_a_token_never_exceeds_the_limits_of_the_callers_token(client_for):
    ann = client_for("ann")
    single, (workflow, steps) = await ann.add(), await ann.chain()
    limited = client_for("ann", definitions=frozenset({"add", "mul"}))
    to_workflow = client_for("ann", task_ids=frozenset({workflow}))

    assert (await viewer_of(limited, READ)).definitions == {"add", "mul"}
    assert (await viewer_of(limited, READ, definitions=["mul", "echo"])).definitions == {"mul"}
    assert (await viewer_of(to_workflow, READ)).task_ids == {workflow}
    assert (await viewer_of(to_workflow, READ, taskIds=[steps[0]])).task_ids == {steps[0]}
    assert (await viewer_of(ann, READ, taskIds=[single, workflow])).task_ids == {single, workflow}


async def test_limits_beyond_those_of_the_callers_token_are_refused(client_for):
    ann = client_for("ann")
    single, (workflow, _) = await ann.add(), await ann.chain()
    limited = client_for("ann", definitions=frozenset({"add"}), task_ids=frozenset({single}))

    assert await problem(limited, definitions=["mul"]) == (
        "input.definitions", "Your own token is limited to other definitions",
    )  # fmt: skip
    path, _ = await problem(limited, taskIds=[single, workflow])
    assert path == "input.taskIds.1"
    missing = (await create(limited, ENQUEUE))["missing"]
    assert missing == "ENQUEUE"


async def test_a_token_for_a_task_of_another_owner_is_refused_like_an_unknown_task(client_for):
    task_id = await client_for("ann").add()

    answers = [await problem(client_for("bob"), taskIds=[id_]) for id_ in (task_id, "never")]

    assert answers[0][1].replace(task_id, "never") == answers[1][1]
    assert answers[0][0] == answers[1][0] == "input.taskIds.0"


async def test_an_admin_cannot_create_a_token_that_sees_nothing(client_for):
    """Without ADMIN, a token for tasks of another owner would see none of them."""
    task_id = await client_for("ann").add()
    path, _ = await problem(client_for("eve", ADMIN), taskIds=[task_id])

    assert path == "input.taskIds.0"
    assert (await viewer_of(client_for("eve", ADMIN), ADMIN, taskIds=[task_id])).task_ids == {
        task_id
    }


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"scopes": []}, "input.scopes"),
        ({"scopes": ["READ"] * 101}, "input.scopes"),
        ({"definitions": []}, "input.definitions"),
        ({"definitions": ["add"] * 101}, "input.definitions"),
        ({"definitions": ["add", "nope"]}, "input.definitions.1"),
        ({"taskIds": []}, "input.taskIds"),
    ],
)
async def test_lists_that_are_empty_too_long_or_wrong_are_refused(client_for, given, path):
    assert (await problem(client_for("ann"), **given))[0] == path


async def test_a_token_limited_to_tasks_cannot_have_enqueue(client_for):
    ann = client_for("ann")
    path, message = await problem(ann, ENQUEUE, taskIds=[await ann.add()])

    assert path == "input.scopes"
    assert message == "A token with `taskIds` cannot enqueue tasks: leave out ENQUEUE"


async def test_a_hundred_tasks_fit_into_a_token(client_for):
    ann = client_for("ann")
    ids = [await ann.add() for _ in range(100)]

    assert (await viewer_of(ann, READ, taskIds=ids)).task_ids == set(ids)


@pytest.mark.parametrize("name", ["workflow", "add"])
async def test_workflow_counts_as_a_definition(client_for, name):
    assert (await viewer_of(client_for("ann"), READ, definitions=[name])).definitions == {name}


async def test_no_token_is_created_if_authentication_is_off(local_client):
    path, message = await problem(local_client)

    assert (path, message) == (
        "input", "Authentication is off, so no token is needed",
    )  # fmt: skip


async def test_no_token_is_created_without_a_secret_to_sign_with(engine, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(jwks(one=ec.generate_private_key(ec.SECP256R1())))
    local_client = LocalClient(engine, Viewer("ann"), Settings(auth_jwks_file=path))

    assert "AUTH_JWT_SECRET, which must be set" in (await problem(local_client))[1]


async def test_the_viewer_field_lists_the_callers_scopes(client_for):
    data = await client_for("ann", ENQUEUE, READ).execute(VIEWER)
    limited = await client_for("ann", ADMIN, task_ids=frozenset({"1"})).execute(VIEWER)

    assert data == {"viewer": {"subject": "ann", "scopes": ["ENQUEUE", "READ"]}}
    assert limited["viewer"]["scopes"] == ["READ", "CONTROL", "CLUSTER", "ADMIN"]


@pytest.mark.slow
async def test_an_api_accepts_the_tokens_that_it_creates(redis_url, logs):
    secret, claims = "a secret that is long enough for everyone", {"sub": "ann", "scope": "read"}
    environment = {"REDIS_URL": redis_url, "AUTH_JWT_SECRET": secret, "AUTH_AUDIENCE": "celeryql"}
    settings = Settings(auth_jwt_secret=secret, auth_audience="celeryql")
    own = Authenticator(settings).sign(
        Viewer("ann", frozenset({READ, CLUSTER}), expires_at=time.time() + 60)
    )
    without_audience = jwt.encode(claims | {"exp": time.time() + 60}, secret)

    with running_api(environment, logs / "authenticated.log") as url:
        async with httpx.AsyncClient(base_url=url) as http:

            async def ask(token, query, **variables):
                headers = {"authorization": f"Bearer {token}"} if token else {}
                body = {"query": query, "variables": variables}
                return await http.post("/graphql", json=body, headers=headers)

            wanted = {"scopes": ["READ"], "expiresInSeconds": 20}
            created = (await ask(own, CREATE, input=wanted)).json()["data"]["createToken"]
            answer = (await ask(created["token"], VIEWER)).json()
            refused = [await ask(token, VIEWER) for token in (None, without_audience)]

    assert answer == {"data": {"viewer": {"subject": "ann", "scopes": ["READ"]}}}
    assert [response.status_code for response in refused] == [401, 401]
    log = (logs / "authenticated.log").read_text()
    assert not any(text in log for text in (secret, own, created["token"], without_audience))
