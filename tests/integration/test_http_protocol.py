"""The GraphQL over HTTP protocol: media types, status codes, streams and malformed requests."""

from __future__ import annotations

import asyncio
import json
from email import message_from_bytes

import httpx
import pytest

from tests.public import KINDS

pytestmark = pytest.mark.slow

JSON = {"content-type": "application/json"}
RESPONSE = "application/graphql-response+json"
QUERY = '{"query": "{ viewer { subject } }"}'
MUTATION = 'mutation { enqueueEcho(input: {message: "x"}) { __typename } }'
WATCH = "subscription($id: ID!) { task(id: $id) { kind task { state } } }"
MALFORMED = {
    "null": b"null",
    "a number": b"1",
    "a string": b'"x"',
    "a list": b"[]",
    "a batch": f"[{QUERY}]".encode(),
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"query": "\xe9"}',
    "nested too deep": b'{"query": ' + b"[" * 100_000,
    "a number of 5,000 digits": b'{"query": "{ a }", "variables": {"a": ' + b"9" * 5_000 + b"}}",
    "not a number": b'{"query": "{ a }", "variables": {"a": NaN}}',
    "no query": b'{"id": "x"}',
    "query null": b'{"query": null}',
    "query a list": b'{"query": ["{ a }"]}',
    "variables a list": b'{"query": "{ a }", "variables": []}',
    "extensions a string": b'{"query": "{ a }", "extensions": "x"}',
    "operationName a number": b'{"query": "{ a }", "operationName": 1}',
}


@pytest.fixture(params=KINDS)
def client(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def http(client):
    with httpx.Client(base_url=client.url, headers=client.headers, timeout=10) as http:
        yield http


def codes(answer):
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("accept", ["application/json", RESPONSE])
def test_a_persisted_query_is_refused_with_the_code_that_clients_know(http, accept):
    asked = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}

    answer = http.post("/graphql", json=asked, headers={"accept": accept})

    assert answer.status_code == 400
    assert [error["message"] for error in answer.json()["errors"]] == ["PersistedQueryNotSupported"]


@pytest.mark.parametrize("accept", ["application/json", RESPONSE])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_gets_a_graphql_response(http, body, accept):
    answer = http.post("/graphql", content=body, headers=JSON | {"accept": accept})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"
    assert codes(answer) == ["BAD_USER_INPUT"]
    assert "data" not in answer.json()


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_more_than_a_megabyte_is_refused(http, is_chunked):
    parts = [b'{"query": "'] + [b"a" * 100_000] * 11

    content = iter(parts) if is_chunked else b"".join(parts)
    answer = http.post("/graphql", content=content, headers=JSON)

    assert (answer.status_code, codes(answer)) == (413, ["BAD_USER_INPUT"])


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset*=utf-8''utf-8",
        "application/json; x=" + "x" * 200,
    ],
)
def test_a_request_that_a_page_can_send_without_preflight_is_refused(http, content_type):
    headers = {"content-type": content_type} if content_type else {}
    answer = http.post("/graphql", content=QUERY, headers=headers)

    assert (answer.status_code, codes(answer)) == (415, ["BAD_USER_INPUT"])


def test_a_compressed_body_is_refused(http):
    answer = http.post("/graphql", content=QUERY, headers=JSON | {"content-encoding": "gzip"})

    assert answer.status_code == 415


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_a_mutation_by_get_is_refused(http, accept):
    answer = http.get("/graphql", params={"query": MUTATION}, headers={"accept": accept})
    listed = http.post("/graphql", json={"query": "{ tasks { nodes { id } } }"})

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert codes(answer) == ["BAD_USER_INPUT"]
    assert "Enqueue" not in answer.text
    assert listed.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(http, method):
    answer = http.request(method, "/graphql")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("query", "status"),
    [("{ viewer { subject } }", 200), ("{ nope }", 400), ("{ viewer {", 400), ("{ task }", 400)],
)
def test_a_refused_operation_has_the_status_that_its_media_type_defines(http, query, status):
    new = http.post("/graphql", json={"query": query}, headers={"accept": RESPONSE})
    old = http.post("/graphql", json={"query": query}, headers={"accept": "application/json"})

    assert (new.status_code, old.status_code) == (status, 200)
    assert ("data" in new.json()) is (status == 200)
    assert new.headers["cache-control"] == "no-store"


def test_a_variable_of_the_wrong_type_is_a_refused_operation(http):
    body = {"query": "query($n: Int) { tasks(first: $n) { cursor } }", "variables": {"n": "x"}}
    answer = http.post("/graphql", json=body, headers={"accept": RESPONSE})

    assert (answer.status_code, codes(answer)) == (400, ["BAD_USER_INPUT"])


def test_an_unknown_operation_name_is_not_repeated(http):
    body = {"query": "query A { __typename }", "operationName": "x" * 900_000}
    answer = http.post("/graphql", json=body)

    assert codes(answer) == ["BAD_USER_INPUT"]
    assert len(answer.content) < 500


def test_a_response_that_no_client_accepts_is_not_made(http):
    answer = http.post("/graphql", content=QUERY, headers=JSON | {"accept": "image/png"})

    assert answer.status_code == 406


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_subscription_without_a_stream_is_told_how_to_subscribe(http, method):
    operation = {"query": "subscription { cluster { at } }"}
    options = {"params": operation} if method == "GET" else {"json": operation}
    answer = http.request(method, "/graphql", **options)

    assert (answer.status_code, codes(answer)) == (400, ["BAD_USER_INPUT"])
    assert "text/event-stream" in answer.text


NAMES = ("evil.example.com", "evil.example.com:8000", "localhost:1", "[::1]:1", "api")


def statuses_by_name(client):
    """Send a request without a token to each host name, and return the status codes."""
    url, body = f"{client.url}/graphql", {"query": "{ __typename }"}
    return [httpx.post(url, json=body, headers={"host": name}).status_code for name in NAMES]


def test_another_host_name_of_this_machine_is_refused(one_machine):
    """With DNS rebinding, a page's own name leads here, so it would have the same origin."""
    assert statuses_by_name(one_machine) == [403, 403, 200, 200, 200]


def test_a_public_host_refuses_requests_without_a_token_by_any_name(public_host):
    assert statuses_by_name(public_host) == [401] * 5


def events_of(text):
    """Parse an event stream as browsers do."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    pairs = [block.split("\ndata: ") for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data or "null")) for name, data in pairs]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_server_sent_events_stream_a_task_to_its_end(client, start_worker, method):
    start_worker("celery")
    task_id = await client.enqueue("add", x=1, y=2)
    asked = {"query": WATCH, "variables": {"id": task_id}}
    if method == "GET":
        options = {"params": asked | {"variables": json.dumps(asked["variables"])}}
    else:
        options = {"json": asked}

    async with httpx.AsyncClient(headers=client.headers, timeout=20) as http:
        headers = {"accept": "text/event-stream"}
        answer = await http.request(method, f"{client.url}/graphql", headers=headers, **options)
    *received, last = events_of(answer.text)

    assert answer.headers["content-type"] == "text/event-stream"
    assert {name for name, _ in received} == {"next"}
    assert received[-1][1]["data"]["task"]["task"]["state"] == "SUCCEEDED"
    assert last == ("complete", None)


async def test_multipart_streams_a_task_to_its_end(client, start_worker):
    start_worker("celery")
    task_id = await client.enqueue("add", x=1, y=2)
    asked = {"query": WATCH, "variables": {"id": task_id}}

    async with httpx.AsyncClient(headers=client.headers, timeout=20) as http:
        headers = {"accept": "multipart/mixed;subscriptionSpec=1.0, application/json"}
        answer = await http.post(f"{client.url}/graphql", json=asked, headers=headers)
    media_type = f"Content-Type: {answer.headers['content-type']}\r\n\r\n"
    message = message_from_bytes(media_type.encode() + answer.content)
    received = [json.loads(part.get_payload()) for part in message.get_payload()]

    assert message.get_content_type() == "multipart/mixed"
    assert message.get_param("subscriptionSpec") == "1.0"
    assert {part.get_content_type() for part in message.get_payload()} == {"application/json"}
    assert received[-1]["payload"]["data"]["task"]["task"]["state"] == "SUCCEEDED"
    assert answer.text.endswith("\r\n--graphql--\r\n")


async def test_a_refused_stream_is_one_error_and_ends(client):
    async with httpx.AsyncClient(headers=client.headers, timeout=20) as http:
        headers = {"accept": "text/event-stream"}
        asked = {"query": WATCH, "variables": {"id": "never"}}
        answer = await http.post(f"{client.url}/graphql", json=asked, headers=headers)
    (name, received), last = events_of(answer.text)

    assert (name, last) == ("next", ("complete", None))
    assert received["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_many_streams_are_independent(client, start_worker):
    start_worker("celery")
    ids = [await client.enqueue("wait", seconds=i / 20) for i in range(10)]

    async with httpx.AsyncClient(headers=client.headers, timeout=20) as http:

        async def watch(task_id):
            asked = {"query": WATCH, "variables": {"id": task_id}}
            headers = {"accept": "text/event-stream"}
            answer = await http.post(f"{client.url}/graphql", json=asked, headers=headers)
            return events_of(answer.text)[-2][1]["data"]["task"]["task"]["state"]

        states = await asyncio.gather(*map(watch, ids))

    assert states == ["SUCCEEDED"] * 10
