"""Authentication over HTTP, streams and WebSockets, and cross-origin pages (CORS)."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from celeryql.settings import Settings
from tests.integration.test_http_protocol import events_of
from tests.serving import METRICS_TOKEN, serving, until_live

pytestmark = pytest.mark.slow

SECRET = "a secret that is long enough for everyone"
QUERY = {"query": "{ viewer { subject scopes } }"}
PAGE = "https://app.example.com"


def bearer(lives_s=60, subject="ann", scope="enqueue read"):
    claims = {"sub": subject, "scope": scope, "exp": time.time() + lives_s}
    return f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"


@pytest.fixture
async def client(redis_url, empty_redis):
    settings = Settings(
        redis_url=redis_url.removesuffix("0") + "1",
        auth_jwt_secret=SECRET,
        cors_origins=[PAGE],
        metrics_token=METRICS_TOKEN,
    )
    async with serving(settings) as client:
        yield client


async def post(client, operation=QUERY, **headers):
    async with httpx.AsyncClient(timeout=20) as http:
        return await http.post(f"{client.url}/graphql", json=operation, headers=headers)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + "x" * 20_000, "Bearer a.b.c"],
)
async def test_a_request_without_a_valid_token_is_refused(client, authorization):
    headers = {"authorization": authorization} if authorization is not None else {}
    answer = await post(client, **headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_token_names_its_subject_and_scopes(client):
    answer = await post(client, authorization=bearer())

    assert answer.json()["data"]["viewer"] == {"subject": "ann", "scopes": ["ENQUEUE", "READ"]}


async def enqueue_echo(client):
    operation = {
        "query": 'mutation { enqueueEcho(input: {message: "x"})'
        " { ... on EnqueueEchoSuccess { task { id } } } }"
    }
    answer = await post(client, operation, authorization=bearer())
    return answer.json()["data"]["enqueueEcho"]["task"]["id"]


async def test_a_stream_ends_with_its_token(client):
    watch = f'subscription {{ task(id: "{await enqueue_echo(client)}") {{ kind }} }}'
    headers = {"authorization": bearer(lives_s=1.5), "accept": "text/event-stream"}
    began = time.monotonic()
    answer = await post(client, {"query": watch}, **headers)
    took_s = time.monotonic() - began
    first, last, complete = events_of(answer.text)

    assert first[1]["data"]["task"]["kind"] == "SNAPSHOT"
    assert last[1]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert complete == ("complete", None)
    assert 0.5 < took_s < 3
    await until_live(client, 0)


async def test_a_socket_ends_with_its_token(client):
    watch = f'subscription {{ task(id: "{await enqueue_echo(client)}") {{ kind }} }}'
    async with open_socket(client) as socket:
        init = {"type": "connection_init", "payload": {"Authorization": bearer(lives_s=1.5)}}
        await socket.send(json.dumps(init))
        payload = {"query": watch}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        types = [json.loads(await socket.recv())["type"] for _ in range(2)]
        async with asyncio.timeout(10):
            await socket.wait_closed()

        assert types == ["connection_ack", "next"]
        assert (socket.close_code, socket.close_reason) == (4403, "Token expired")
    await until_live(client, 0)


@pytest.mark.parametrize(
    "payload",
    [None, {}, {"Authorization": "Bearer x"}, {"Authorization": 1}, {"authorization": ""}],
)
async def test_a_socket_without_a_token_ends_with_4403(client, payload):
    async with open_socket(client) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        async with asyncio.timeout(10):
            await socket.wait_closed()

        assert socket.close_code == 4403


@pytest.mark.parametrize("place", ["header", "payload", "payload in lower case"])
async def test_a_socket_accepts_a_token_from_the_header_or_the_payload(client, place):
    headers = {"Authorization": bearer()} if place == "header" else {}
    name = {"payload": "Authorization", "payload in lower case": "authorization"}.get(place)
    async with open_socket(client, additional_headers=headers) as socket:
        payload = {name: bearer()} if name else None
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))

        assert json.loads(await socket.recv())["type"] == "connection_ack"


def open_socket(client, **options):
    url = client.url.replace("http", "ws", 1) + "/graphql"
    return connect(url, subprotocols=["graphql-transport-ws"], **options)


async def test_only_pages_of_the_configured_origins_may_use_the_api(client):
    preflight = {"access-control-request-method": "POST"}
    async with httpx.AsyncClient(timeout=20) as http:
        url = f"{client.url}/graphql"
        theirs = await http.options(url, headers={"origin": "https://evil.example.com"} | preflight)
        ours = await http.options(url, headers={"origin": PAGE} | preflight)
    answer = await post(client, origin=PAGE, authorization=bearer())
    async with open_socket(client, origin=PAGE):
        pass
    with pytest.raises(InvalidStatus):
        async with open_socket(client, origin="https://evil.example.com"):
            pass

    assert "access-control-allow-origin" not in theirs.headers
    assert ours.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-credentials" not in answer.headers
    allowed = ours.headers["access-control-allow-headers"].lower()
    assert {"x-request-id", "traceparent"} <= {*allowed.split(", ")}
    assert answer.headers["access-control-expose-headers"] == "X-Request-ID"
