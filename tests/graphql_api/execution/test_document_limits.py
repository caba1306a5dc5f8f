"""Limits on documents and variables: each is refused in milliseconds, before it is validated."""

from __future__ import annotations

import time
from contextlib import aclosing

import pytest

from graphql_api.api_errors import ErrorCode

DOUBLING = " ".join(f"fragment f{i} on Viewer {{ ...f{i + 1} ...f{i + 1} }}" for i in range(25))
ROOT_DOUBLING = DOUBLING.replace("Viewer", "Query")
CHAIN = " ".join(f"fragment f{i} on Query {{ ...f{i + 1} }}" for i in range(500))
MANY = {
    "tokens": ("{ viewer { subject } }" * 2_000, "5000 tokens"),
    "nesting of fields": ("{a" * 400 + "}" * 400, "nested too deep"),
    "depth": ("{ viewer" + "{a" * 60 + "}" * 61, "20 levels of fields"),
    "nesting of fragments": (f"{{ ...f0 }} {CHAIN}", "nested deeper"),
    "root fields": ("{" + "__typename " * 21 + "}", "20 root fields"),
    "fields": ("{ viewer {" + "subject " * 1_001 + "} }", "1,000 fields"),
    "aliases": ("{ viewer {" + " ".join(f"a{i}: subject" for i in range(201)) + "} }", "aliases"),
    "directives": ("{ __typename " + "@skip(if: false) " * 201 + "}", "directives"),
    "operations": (" ".join(f"query q{i} {{ __typename }}" for i in range(21)), "20 operations"),
    "long names": (f"query {'n' * 900_000} {{ __typename }}", "a name of more than 200 characters"),
    "lines": ("\n" * 480_000 + "{" + " ".join(f"u{i}" for i in range(20)) + "}", "5,000 lines"),
    "fragments of three equal fields": (
        f"{{ task(id: 1) {{ {' '.join(f'...f{i}' for i in range(100))} }} }}"
        + "".join(f"fragment f{i} on Task {{ id state version }} " for i in range(100)),
        "the same fields too often",
    ),
    "pairs of equal fields": (
        f"{{ task(id: 1) {{ {'retryOf { retryOf { id } } ' * 330} }} }}",
        "the same fields too often",
    ),
    "pairs of equal arguments": (
        f"{{ tasks {{ nodes {{ {'history(first: 1) { cursor } ' * 330} }} }} }}",
        "the same fields too often",
    ),
    "pairs of fragments": (
        f"{{ viewer {{ {' '.join(f'...f{i}' for i in range(300))} }} }}"
        + "".join(f"fragment f{i} on Viewer {{ subject }} " for i in range(300)),
        "the same fields too often",
    ),
    "doubling fragments": (
        f"{{ viewer {{ ...f0 }} }} {DOUBLING} fragment f25 on Viewer {{ subject }}",
        "1,000 fields",
    ),
    "doubling fragments of root fields": (
        f"{{ ...f0 }} {ROOT_DOUBLING} fragment f25 on Query {{ __typename }}",
        "20 root fields",
    ),
    "doubling fragments that are not used": (
        f"{{ __typename }} {DOUBLING} fragment f25 on Viewer {{ subject }}",
        "1,000 fields",
    ),
}


@pytest.mark.parametrize(("document", "problem"), MANY.values(), ids=MANY)
async def test_a_document_above_a_limit_is_refused_at_once(local_client, document, problem):
    began = time.process_time()
    result = await local_client.run(document)
    took_s = time.process_time() - began

    (error,) = result.errors
    assert problem in error.message
    assert error.extensions["code"] == ErrorCode.BAD_USER_INPUT
    assert took_s < 0.5, "a document of 5,000 tokens takes 0.1 s to parse, and is parsed twice"


WIDE = {
    "a hundred fragments in one place": "{ tasks { nodes {"
    + " ".join(f"...f{i}" for i in range(100))
    + "} } }"
    + "".join(f" fragment f{i} on Task {{ id state }}" for i in range(100)),
    "sixty fragments of six fields": "{ tasks { nodes {"
    + " ".join(f"...f{i}" for i in range(60))
    + "} } }"
    + "".join(
        f" fragment f{i} on Task {{ id state version attempt createdAt tags }}" for i in range(60)
    ),
    "lines with Windows line ends": "{ viewer {" + "\r\n" * 4_900 + "subject } }",
    "two hundred aliases": "{ viewer {" + " ".join(f"a{i}: subject" for i in range(200)) + "} }",
    "a hundred equal fields": "{ viewer {" + "subject " * 100 + "} }",
}


@pytest.mark.parametrize("document", WIDE.values(), ids=WIDE)
async def test_a_wide_document_within_the_limits_is_answered(local_client, document):
    assert (await local_client.run(document)).errors is None


@pytest.mark.parametrize(
    "document",
    [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    ],
)
async def test_a_fragment_that_spreads_itself_is_refused(local_client, document):
    result = await local_client.run(document)

    assert "within itself" in result.errors[0].message


async def test_the_values_of_a_variable_are_counted_before_they_are_coerced(local_client):
    once = "a: enqueueAdd(input: {x: 1, y: 2}, options: {tags: $tags}) { __typename }"
    twice = f"{once} {once.replace('a:', 'b:')}"
    too_many = "The variables hold more than 25,000 values: split the input"

    few = await local_client.run(
        f"mutation($tags: [String!]) {{ {once} }}", variable_values={"tags": [""]}
    )
    answers = [
        await local_client.run(
            f"mutation($tags: [String!]) {{ {fields} }}", variable_values={"tags": tags}
        )
        for fields, tags in ((once, [""] * 25_000), (twice, [""] * 12_500))
    ]

    assert few.data == {"a": {"__typename": "InvalidInput"}}
    assert [[error.message for error in answer.errors] for answer in answers] == [[too_many]] * 2


async def test_the_values_of_a_subscriptions_variables_are_counted(local_client):
    watch = "subscription($ids: [ID!]) { tasks(filter: {ids: $ids}) { cursor } }"
    async with aclosing(local_client.subscribe(watch, ids=["x"] * 25_000)) as events:
        assert await anext(events) == [ErrorCode.BAD_USER_INPUT]
