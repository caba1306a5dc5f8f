"""Parsing and validation of documents, their errors and their cache."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from celeryql.settings import Settings
from graphql_api.execution.document_limits import DocumentLimits
from graphql_api.execution.documents import DocumentCache
from graphql_api.schema import build_schema


async def test_an_error_has_few_locations(local_client):
    result = await local_client.run(f"{{ task({'id: 1 ' * 1_600}) {{ id }} }}")

    (error,) = result.errors
    assert len(error.locations) == 10


UNDEFINED = " ".join(f"a{i}: history(first: $v{i}) {{ kind }}" for i in range(150))
UNKNOWN = " ".join(f"{'f' * 150}{i}: 1" for i in range(1_000))
LARGE = {
    "undefined variables": (f"query {'n' * 200} {{ task(id: 1) {{ {UNDEFINED} }} }}", {}),
    "unknown fields": (
        f"mutation {{ enqueueAdd(input: {{x: 1 y: 2 {UNKNOWN}}}) {{ __typename }} }}",
        {},
    ),
    "unknown fields of a variable": (
        "mutation($i: AddInput!) { enqueueAdd(input: $i) { __typename } }",
        {"i": {f"{'f' * 500}{i}": 1 for i in range(1_000)}},
    ),
    "a literal": (f'{{ tasks(first: "{"9" * 900_000}") {{ cursor }} }}', {}),
    "a cursor": ("query($i: String!) { tasks(after: $i) { cursor } }", {"i": "x" * 900_000}),
    "an id": (
        "mutation($i: ID!) {"
        + " ".join(f"a{i}: cancelTask(id: $i) {{ ... on Error {{ message }} }}" for i in range(20))
        + "}",
        {"i": "x" * 900_000},
    ),
    "problems": (
        (
            "mutation($m: [String!]!) { enqueueDetectSpamBatch(input: {messages: $m}) {"
            " ... on InvalidInput { message problems { path message } } } }"
        ),
        {"m": [""] * 1_000},
    ),
}


@pytest.mark.parametrize(("document", "variables"), LARGE.values(), ids=LARGE)
async def test_an_answer_does_not_repeat_large_invalid_input(local_client, document, variables):
    result = await local_client.run(document, variable_values=variables)

    messages = [error.message for error in result.errors or ()]
    assert len(messages) <= 11
    assert len(str(result.data)) + sum(map(len, messages)) < 20_000


def test_the_cache_of_documents_is_limited_in_memory():
    cache, schema, limits = (
        DocumentCache(500_000),
        build_schema().schema,
        DocumentLimits.of(Settings()),
    )
    names = "subject " * 150
    cache.check(schema, f"{{ viewer {{ {names} }} }}", limits)  # what graphql-core allocates once
    tracemalloc.start()
    for i in range(20):  # of 0.1 MB each
        cache.check(schema, f"query Q{i} {{ viewer {{ {names} }} }}", limits)
    gc.collect()
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held_bytes < 600_000


@pytest.mark.parametrize("times", [1, 2])  # the second time, the document is cached
async def test_a_document_with_several_operations_must_name_one(local_client, times):
    document = "query A { viewer { subject } } query B { __typename }"
    for _ in range(times):
        unnamed = await local_client.run(document)
        named = await local_client.run(document, operation_name="B")

    assert "Name the operation" in unnamed.errors[0].message
    assert named.data == {"__typename": "Query"}


async def test_introspection_and_suggestions_are_off_by_default(local_client):
    schema = await local_client.run("{ __schema { queryType { name } } }")
    typo = await local_client.run("{ viewr { subject } }")
    kind = await local_client.run("{ viewer { __typename } }")

    assert "introspection" in schema.errors[0].message
    assert "Did you mean" not in typo.errors[0].message
    assert kind.data == {"viewer": {"__typename": "Viewer"}}
