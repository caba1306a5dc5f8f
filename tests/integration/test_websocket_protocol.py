"""The protocol graphql-transport-ws: messages, close codes and limits."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from celeryql.settings import Settings
from graphql_api.transport.websocket import WebSocketConnection
from tests.client import Client
from tests.processes import Server, running_api
from tests.public import HEADERS, KINDS, public_environment
from tests.serving import serving

pytestmark = pytest.mark.slow

QUERY = {"query": "{ viewer { subject } }"}
CLUSTER = {"query": "subscription { cluster { at } }"}


@pytest.fixture(params=KINDS)
def client(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=KINDS)
def hasty(request, environment, logs, tmp_path_factory):
    """An API with short timeouts and low limits."""
    few = {
        "CONNECTION_INIT_TIMEOUT_S": "0.3",
        "MAX_OPERATIONS_PER_SOCKET": "3",
        "MAX_SOCKETS_PER_ADDRESS": "4",
        "MAX_BODY_BYTES": "10000",
    }
    is_public = request.param == KINDS[1]
    if is_public:
        few |= public_environment(tmp_path_factory.mktemp("hasty"))
    with running_api(environment | few, logs / "hasty.log") as url:
        yield Client(url, HEADERS if is_public else {})


@asynccontextmanager
async def open_socket(client, *, init=True, **options):
    url = client.url.replace("http", "ws", 1) + "/graphql"
    options = {"subprotocols": ["graphql-transport-ws"], "close_timeout": 1} | options
    async with connect(url, additional_headers=client.headers, **options) as socket:
        if init:
            await send(socket, type="connection_init")
            assert await receive(socket) == {"type": "connection_ack"}
        yield socket


async def send(socket, **message):
    await socket.send(json.dumps(message))


async def receive(socket):
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def close_code(socket):
    async with asyncio.timeout(10):
        await socket.wait_closed()
    return socket.close_code


MALFORMED = {
    "null": "null",
    "a number": "1",
    "a list": "[]",
    "a string": '"x"',
    "no JSON": "{",
    "nothing": "",
    "no type": "{}",
    "an unknown type": '{"type": "start"}',
    "a type that is none": '{"type": 1}',
    "no id": '{"type": "subscribe", "payload": {"query": "{ a }"}}',
    "an id that is none": '{"type": "subscribe", "id": 1, "payload": {"query": "{ a }"}}',
    "an id of which each event would repeat a megabyte": json.dumps(
        {"type": "subscribe", "id": "x" * 900_000, "payload": QUERY}
    ),
    "no payload": '{"type": "subscribe", "id": "1"}',
    "a payload that is none": '{"type": "subscribe", "id": "1", "payload": "x"}',
    "no query": '{"type": "subscribe", "id": "1", "payload": {}}',
    "variables that are none": json.dumps(
        {"type": "subscribe", "id": "1", "payload": QUERY | {"variables": []}}
    ),
    "complete without id": '{"type": "complete"}',
    "a ping with a string": '{"type": "ping", "payload": "x"}',
    "nested too deep": "[" * 100_000,
    "a huge number": '{"type": ' + "9" * 5_000 + "}",
    "bytes": b"{}",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
async def test_an_invalid_message_closes_the_socket_with_4400(client, message):
    async with open_socket(client) as socket:
        await socket.send(message)

        assert await close_code(socket) == 4400


@pytest.mark.parametrize(
    ("method", "content", "more", "status"),
    [("POST", b"", 0, 405), ("POST", b"x", 0, 400), ("GET", b"x", 0, 400), ("GET", b"", 200, 431)],
)
async def test_an_upgrade_that_opens_no_websocket_gets_a_response(
    client, method, content, more, status
):
    headers = {"connection": "upgrade", "upgrade": "websocket"}
    headers |= {f"x-{number}": "x" for number in range(more)}
    async with httpx.AsyncClient(timeout=2) as http:
        url = f"{client.url}/graphql"
        answer = await http.request(method, url, content=content, headers=headers)

    assert answer.status_code == status


@pytest.fixture
def untroubled(client, logs):
    """Check that no traceback is logged."""
    log = logs / "api.log"
    before = log.read_text().count("Traceback")
    yield
    assert log.read_text().count("Traceback") == before


@pytest.mark.usefixtures("untroubled")
async def test_invalid_utf_8_closes_the_socket_without_a_traceback(client):
    async with open_socket(client) as socket:
        await socket.send(b"\xff", text=True)

        assert await close_code(socket) == 1007


@pytest.mark.usefixtures("untroubled")
async def test_a_broken_frame_after_messages_closes_the_socket_without_a_traceback(client):
    async with open_socket(client) as socket:
        asked = json.dumps({"type": "subscribe", "id": "1", "payload": QUERY}).encode()
        frames = [Frame(Opcode.TEXT, asked).serialize(mask=True) for _ in range(2)]
        socket.transport.write(b"".join([*frames, b"\xff\x80" + bytes(4)]))

        assert await close_code(socket) == 1002


@pytest.mark.parametrize("payload", ["x", 1, []])
async def test_an_invalid_init_payload_closes_the_socket_with_4400(client, payload):
    async with open_socket(client, init=False) as socket:
        await send(socket, type="connection_init", payload=payload)

        assert await close_code(socket) == 4400


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {"a": 1}}])
async def test_an_init_may_have_a_payload(client, payload):
    async with open_socket(client, init=False) as socket:
        await send(socket, type="connection_init", **payload)

        assert await receive(socket) == {"type": "connection_ack"}


async def test_subscribing_before_the_acknowledgement_closes_with_4401(client):
    async with open_socket(client, init=False) as socket:
        await send(socket, type="subscribe", id="1", payload=QUERY)

        assert await close_code(socket) == 4401


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"], ["soap"]])
async def test_another_subprotocol_closes_with_4406(client, subprotocols):
    async with open_socket(client, init=False, subprotocols=subprotocols) as socket:
        assert await close_code(socket) == 4406


async def test_no_init_in_time_closes_with_4408(hasty):
    async with open_socket(hasty, init=False) as socket:
        assert await close_code(socket) == 4408


async def test_only_the_empty_query_is_refused(client):
    async with open_socket(client) as socket:
        await send(socket, type="subscribe", id="1", payload={"query": ""})
        refused = await receive(socket)
        await send(socket, type="subscribe", id="2", payload=QUERY)

        assert (refused["type"], refused["id"]) == ("error", "1")
        assert refused["payload"] == [
            {"message": "The request has no `query`", "extensions": {"code": "BAD_USER_INPUT"}}
        ]
        assert (await receive(socket))["type"] == "next"


@pytest.mark.parametrize(
    "id_", ["1", "ä" * 255]
)  # the close reason contains it, in at most 123 bytes
async def test_a_duplicate_id_closes_with_4409(client, id_):
    async with open_socket(client) as socket:
        await send(socket, type="subscribe", id=id_, payload=CLUSTER)
        await send(socket, type="subscribe", id=id_, payload=CLUSTER)

        assert await close_code(socket) == 4409


async def test_a_socket_does_not_keep_its_first_request_in_memory(redis_url):
    async with (
        serving(Settings(redis_url=redis_url)) as client,
        open_socket(client, init=False) as socket,
    ):
        await send(socket, type="connection_init", payload={"x": "a" * 900_000})
        assert await receive(socket) == {"type": "connection_ack"}
        (connection,) = (o for o in gc.get_objects() if type(o) is WebSocketConnection)

        assert connection.connection_params is None


async def test_an_id_can_be_used_again_once_its_operation_has_ended(client):
    async with open_socket(client) as socket:
        for _ in range(3):
            await send(socket, type="subscribe", id="1", payload=QUERY)
            assert (await receive(socket))["type"] == "next"
            assert await receive(socket) == {"id": "1", "type": "complete"}


async def test_a_second_init_closes_with_4429(client):
    async with open_socket(client) as socket:
        await send(socket, type="connection_init")

        assert await close_code(socket) == 4429


@pytest.mark.parametrize("init", [False, True])
async def test_a_ping_is_answered_at_any_time(client, init):
    async with open_socket(client, init=init) as socket:
        await send(socket, type="ping", payload={"n": 1})

        assert await receive(socket) == {"type": "pong"}


async def test_an_unsolicited_pong_and_an_unknown_complete_are_ignored(client):
    async with open_socket(client) as socket:
        await send(socket, type="pong")
        await send(socket, type="complete", id="never")
        await send(socket, type="ping")

        assert await receive(socket) == {"type": "pong"}


async def test_only_the_operation_beyond_the_limit_is_refused(hasty):
    async with open_socket(hasty) as socket:
        for id_ in "123":
            await send(socket, type="subscribe", id=id_, payload=CLUSTER)
            assert (await receive(socket))["type"] == "next"
        await send(socket, type="subscribe", id="4", payload=CLUSTER)
        refused = await receive(socket)
        await send(socket, type="complete", id="1")
        await send(socket, type="subscribe", id="5", payload=QUERY)
        accepted = [message async for message in until_complete(socket, "5")]

    assert (refused["id"], refused["type"]) == ("4", "error")
    assert refused["payload"][0]["extensions"]["code"] == "UNAVAILABLE"
    subject = "ann" if hasty.headers else "anonymous"
    assert accepted[0]["payload"]["data"] == {"viewer": {"subject": subject}}


async def until_complete(socket, id_):
    while (message := await receive(socket)) != {"id": id_, "type": "complete"}:
        if message["id"] == id_:
            yield message


async def test_a_socket_beyond_the_limit_of_its_address_is_refused(hasty):
    async with (
        open_socket(hasty),
        open_socket(hasty),
        open_socket(hasty),
        open_socket(hasty) as last,
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with open_socket(hasty):
                pass
        await last.close()
        async with open_socket(hasty):  # the limit is no longer reached
            pass

    assert refused.value.response.status_code == 429
    assert json.loads(refused.value.response.body)["errors"]


async def test_a_message_that_is_too_long_closes_the_socket(hasty):
    async with open_socket(hasty) as socket:
        await socket.send(json.dumps({"type": "ping", "payload": {"x": "x" * 20_000}}))

        assert await close_code(socket) == 1009


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://127.0.0.1:1", "null"])
async def test_a_page_of_another_site_cannot_open_a_socket(client, origin):
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(client, origin=origin):
            pass

    assert refused.value.response.status_code == 403


async def test_a_page_of_the_api_can_open_a_socket(client):
    async with open_socket(client, origin=client.url):
        pass


async def test_a_mutation_completes_after_its_client_has_disconnected(client):
    """As over HTTP, a mutation that was sent is executed."""
    tag = "left"
    mutation = f"""mutation {{
      {" ".join(f'a{i}: enqueueEcho(input: {{message: "{i}"}}, options: {{tags: ["{tag}"]}})'
                '{ __typename }' for i in range(20))}
    }}"""  # fmt: skip
    async with open_socket(client) as socket:
        await send(socket, type="subscribe", id="1", payload={"query": mutation})
        await send(socket, type="complete", id="1")
        await send(socket, type="subscribe", id="2", payload=QUERY)
        received = [message async for message in until_complete(socket, "2")]

    async with asyncio.timeout(10):
        while True:
            query = f'{{ tasks(filter: {{tags: ["{tag}"]}}) {{ nodes {{ id }} }} }}'
            data = await client.execute(query)
            if len(data["tasks"]["nodes"]) == 20:
                break
    assert [message["id"] for message in received] == ["2"]


async def test_abandoned_mutations_count_until_they_have_completed(tmp_path):
    redis = Server(tmp_path / "redis")
    redis.start()
    few = {"REDIS_URL": redis.url, "MAX_OPERATIONS_PER_SOCKET": "3"}
    add = {"query": "mutation { enqueueAdd(input: {x: 1, y: 2}) { __typename } }"}
    try:
        with running_api(few, tmp_path / "api.log") as url:
            async with open_socket(Client(url)) as socket:
                redis.freeze()
                for number in range(10):
                    id_ = str(number)
                    await send(socket, type="subscribe", id=id_, payload=add)
                    await send(socket, type="complete", id=id_)
                refused = await receive(socket)
                redis.thaw()
    finally:
        redis.close()

    assert refused["type"] == "error"
    assert refused["payload"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert int(refused["id"]) >= 3
