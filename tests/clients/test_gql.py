"""Test the Python client `gql` over HTTP and WebSocket, and with the schema that it fetches."""

from __future__ import annotations

import pytest
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from graphql import (
    GraphQLError,
    GraphQLSchema,
    build_schema,
    lexicographic_sort_schema,
    print_schema,
)

from graphql_api.schema import SDL_FILE

pytestmark = pytest.mark.slow

ADD = """
mutation Add($x: Float!) {
  enqueueAdd(input: {x: $x, y: 2}, options: {start: {inSeconds: 2}}) {
    ... on EnqueueAddSuccess { task { id state } }
  }
}
"""
WATCH = "subscription Watch($id: ID!) { task(id: $id) { kind task { state } } }"
SUM = "query Sum($id: ID!) { task(id: $id) { state ... on AddTask { result } } }"
INVALID = GraphQLRequest("query Invalid { nope }")
INVALID_WATCH = GraphQLRequest("subscription InvalidWatch { nope }")
UNKNOWN = GraphQLRequest(WATCH, variable_values={"id": "never"})


@pytest.fixture
def http(client):
    return HTTPXAsyncTransport(f"{client.url}/graphql")


@pytest.fixture
async def websocket(client):  # async, because outside a loop gql creates one and leaves it open
    url = f"{client.url.replace('http', 'ws')}/graphql"
    return WebsocketsTransport(
        url, init_payload={"client": "gql"}, ping_interval=0.2, pong_timeout=10
    )


async def test_gql_mutates_subscribes_and_queries(http, websocket, start_worker):
    start_worker("celery")

    async with Client(transport=http) as over_http, Client(transport=websocket) as over_socket:
        added = await over_http.execute(GraphQLRequest(ADD, variable_values={"x": 1}))
        task = added["enqueueAdd"]["task"]
        variables = {"id": task["id"]}
        watch = over_socket.subscribe(GraphQLRequest(WATCH, variable_values=variables))
        events = [data["task"] async for data in watch]
        sum_ = GraphQLRequest(SUM, variable_values=variables)
        answers = [await session.execute(sum_) for session in (over_http, over_socket)]

    assert task["state"] == "SCHEDULED"
    assert [f"{event['kind']} {event['task']['state']}" for event in events] == [
        "SNAPSHOT SCHEDULED", "STATE QUEUED", "STATE RUNNING", "STATE SUCCEEDED",
    ]  # fmt: skip
    assert answers == [{"task": {"state": "SUCCEEDED", "result": 3}}] * 2


async def test_gql_raises_the_errors_of_the_api(http, websocket):
    refused = []

    async with Client(transport=http) as over_http, Client(transport=websocket) as over_socket:
        for session in (over_http, over_socket):
            with pytest.raises(TransportQueryError) as raised:
                await session.execute(INVALID)
            refused += raised.value.errors
        for request in (INVALID_WATCH, UNKNOWN):
            with pytest.raises(TransportQueryError) as raised:
                await anext(over_socket.subscribe(request))
            refused += raised.value.errors

    assert [error["extensions"]["code"] for error in refused] == [
        "BAD_USER_INPUT", "BAD_USER_INPUT", "BAD_USER_INPUT", "NOT_FOUND",
    ]  # fmt: skip


def printed(schema: GraphQLSchema) -> str:
    return print_schema(lexicographic_sort_schema(schema))


async def test_gql_fetches_the_complete_schema(http, websocket):
    sdl = printed(build_schema(SDL_FILE.read_text()))
    asked = {"input_object_one_of": True}

    for transport in (http, websocket):
        client = Client(
            transport=transport, fetch_schema_from_transport=True, introspection_args=asked
        )
        async with client as session:
            assert printed(session.client.schema) == sdl
            with pytest.raises(GraphQLError, match="Cannot query field 'nope'"):
                await session.execute(INVALID)
