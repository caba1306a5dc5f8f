"""Tokens for handing on: what they allow, what they never allow, and that they work."""

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
from tests.graphql_api.conftest import Door
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


async def create(door, *scopes: Scope, **given):
    asked = {"scopes": [scope.name for scope in scopes]} | given
    return (await door.execute(CREATE, input=asked))["createToken"]


async def made_by(door, *scopes: Scope, **given) -> Viewer:
    """Create a token, and tell who comes with it."""
    created = await create(door, *scopes, **given)
    viewer = await door.context.authenticator.viewer(f"Bearer {created['token']}")
    assert datetime.fromisoformat(created["expiresAt"]).timestamp() == pytest.approx(
        viewer.expires_at, abs=0.001
    )
    return viewer


async def problem(door, *scopes: Scope, **given):
    created = await create(door, *(scopes or (READ,)), **given)
    assert created["__typename"] == "InvalidInput"
    (found,) = created["problems"]
    return ".".join(found["path"]), found["message"]


async def test_a_token_allows_what_was_asked_for_and_no_more(door_of):
    viewer = await made_by(door_of("ann"), READ, CONTROL)

    assert (viewer.subject, viewer.scopes) == ("ann", {READ, CONTROL})
    assert (viewer.definitions, viewer.task_ids) == (None, None)
    assert viewer.expires_at == pytest.approx(time.time() + 900, abs=5)


async def test_nobody_gives_what_they_lack(door_of):
    created = await create(door_of("ann", READ), READ, CONTROL, CLUSTER)

    assert (created["__typename"], created["missing"]) == ("Forbidden", "CONTROL")


async def test_an_admin_gives_any_scope(door_of):
    assert (await made_by(door_of("eve", ADMIN), ENQUEUE, ADMIN)).scopes == {ENQUEUE, ADMIN}


async def test_a_token_ends_with_the_one_that_asked_for_it(door_of):
    soon = time.time() + 30

    assert (await made_by(door_of("ann", expires_at=soon), READ)).expires_at == soon
    brief = await made_by(door_of("ann", expires_at=soon), READ, expiresInSeconds=1)
    assert brief.expires_at == pytest.approx(time.time() + 1, abs=1)


@pytest.mark.parametrize("life", [0, 0.9, -1, 86_401, 1e300])
async def test_a_token_lives_for_a_second_to_a_day(door_of, life):
    path, message = await problem(door_of("ann"), expiresInSeconds=life)

    assert path == "input.expiresInSeconds"
    assert message.startswith("1 to 86,400 seconds, not")


async def test_narrowing_only_shrinks(door_of):
    ann = door_of("ann")
    single, (workflow, steps) = await ann.add(), await ann.chain()
    held = door_of("ann", definitions=frozenset({"add", "mul"}))
    to_workflow = door_of("ann", task_ids=frozenset({workflow}))

    assert (await made_by(held, READ)).definitions == {"add", "mul"}
    assert (await made_by(held, READ, definitions=["mul", "echo"])).definitions == {"mul"}
    assert (await made_by(to_workflow, READ)).task_ids == {workflow}
    assert (await made_by(to_workflow, READ, taskIds=[steps[0]])).task_ids == {steps[0]}
    assert (await made_by(ann, READ, taskIds=[single, workflow])).task_ids == {single, workflow}


async def test_what_is_beyond_a_narrowed_token_is_refused(door_of):
    ann = door_of("ann")
    single, (workflow, _) = await ann.add(), await ann.chain()
    held = door_of("ann", definitions=frozenset({"add"}), task_ids=frozenset({single}))

    assert await problem(held, definitions=["mul"]) == (
        "input.definitions", "Your own token is held to others",
    )  # fmt: skip
    path, _ = await problem(held, taskIds=[single, workflow])
    assert path == "input.taskIds.1"
    missing = (await create(held, ENQUEUE))["missing"]
    assert missing == "ENQUEUE"


async def test_a_token_names_no_task_of_another(door_of):
    task_id = await door_of("ann").add()

    told = [await problem(door_of("bob"), taskIds=[id_]) for id_ in (task_id, "never")]

    assert told[0][1].replace(task_id, "never") == told[1][1]
    assert told[0][0] == told[1][0] == "input.taskIds.0"


async def test_an_admin_gives_no_token_that_shows_nothing(door_of):
    """What it makes for others' tasks needs ADMIN as well: else all of them would be hidden."""
    task_id = await door_of("ann").add()
    path, _ = await problem(door_of("eve", ADMIN), taskIds=[task_id])

    assert path == "input.taskIds.0"
    assert (await made_by(door_of("eve", ADMIN), ADMIN, taskIds=[task_id])).task_ids == {task_id}


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
async def test_lists_that_are_empty_too_long_or_wrong_are_refused(door_of, given, path):
    assert (await problem(door_of("ann"), **given))[0] == path


async def test_a_token_that_is_held_to_tasks_is_not_to_enqueue(door_of):
    ann = door_of("ann")
    path, message = await problem(ann, ENQUEUE, taskIds=[await ann.add()])

    assert path == "input.scopes"
    assert message == "A token that is held to tasks enqueues none: leave ENQUEUE out"


async def test_a_hundred_tasks_fit_into_a_token(door_of):
    ann = door_of("ann")
    ids = [await ann.add() for _ in range(100)]

    assert (await made_by(ann, READ, taskIds=ids)).task_ids == set(ids)


@pytest.mark.parametrize("name", ["workflow", "add"])
async def test_workflows_are_a_definition_too(door_of, name):
    assert (await made_by(door_of("ann"), READ, definitions=[name])).definitions == {name}


async def test_without_authentication_there_is_no_token(door):
    path, message = await problem(door)

    assert (path, message) == (
        "input", "There is no authentication here: whoever asks may do all",
    )  # fmt: skip


async def test_with_public_keys_alone_none_can_be_signed(engine, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(jwks(one=ec.generate_private_key(ec.SECP256R1())))
    door = Door(engine, Viewer("ann"), Settings(auth_jwks_file=path))

    assert "AUTH_JWT_SECRET, which must be set" in (await problem(door))[1]


async def test_who_asks_is_told_what_they_may_do(door_of):
    data = await door_of("ann", ENQUEUE, READ).execute(VIEWER)
    held = await door_of("ann", ADMIN, task_ids=frozenset({"1"})).execute(VIEWER)

    assert data == {"viewer": {"subject": "ann", "scopes": ["ENQUEUE", "READ"]}}
    assert held["viewer"]["scopes"] == ["READ", "CONTROL", "CLUSTER", "ADMIN"]


@pytest.mark.slow
async def test_a_token_made_by_an_api_is_honoured_by_it(redis_url, logs):
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

            asked = {"scopes": ["READ"], "expiresInSeconds": 20}
            created = (await ask(own, CREATE, input=asked)).json()["data"]["createToken"]
            answer = (await ask(created["token"], VIEWER)).json()
            refused = [await ask(token, VIEWER) for token in (None, without_audience)]

    assert answer == {"data": {"viewer": {"subject": "ann", "scopes": ["READ"]}}}
    assert [response.status_code for response in refused] == [401, 401]
    log = (logs / "authenticated.log").read_text()
    assert not any(text in log for text in (secret, own, created["token"], without_audience))
