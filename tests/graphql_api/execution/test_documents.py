"""Documents that cost more than they look: refused in milliseconds, before they are validated."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from contextlib import aclosing

import pytest

from celeryql.settings import Settings
from graphql_api.api_errors import ErrorCode
from graphql_api.execution.document_limits import DocumentLimits
from graphql_api.execution.documents import DocumentCache
from graphql_api.schema import build_schema
from tasks.arithmetic import add

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

SIX_TIMES = " ".join(f"a{i}: steps {{ key }}" for i in range(6))


@pytest.mark.parametrize(("document", "complaint"), MANY.values(), ids=MANY)
async def test_too_much_of_anything_is_refused_at_once(door, document, complaint):
    began = time.process_time()
    result = await door.run(document)
    took_s = time.process_time() - began

    (error,) = result.errors
    assert complaint in error.message
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
    "lines as Windows ends them": "{ viewer {" + "\r\n" * 4_900 + "subject } }",
    "two hundred aliases": "{ viewer {" + " ".join(f"a{i}: subject" for i in range(200)) + "} }",
    "a hundred equal fields": "{ viewer {" + "subject " * 100 + "} }",
}


@pytest.mark.parametrize("document", WIDE.values(), ids=WIDE)
async def test_a_wide_document_is_answered(door, document):
    assert (await door.run(document)).errors is None


async def test_an_error_has_few_locations(door):
    result = await door.run(f"{{ task({'id: 1 ' * 1_600}) {{ id }} }}")

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
async def test_an_answer_does_not_repeat_what_is_wrong(door, document, variables):
    result = await door.run(document, variable_values=variables)

    told = [error.message for error in result.errors or ()]
    assert len(told) <= 11
    assert len(str(result.data)) + sum(map(len, told)) < 20_000


def test_documents_are_kept_up_to_a_size_in_memory():
    cache, schema, limits = (
        DocumentCache(500_000),
        build_schema().schema,
        DocumentLimits.of(Settings()),
    )
    names = "subject " * 150
    cache.check(schema, f"{{ viewer {{ {names} }} }}", limits)  # what graphql-core makes once
    tracemalloc.start()
    for i in range(20):  # of 0.1 MB each
        cache.check(schema, f"query Q{i} {{ viewer {{ {names} }} }}", limits)
    gc.collect()
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held_bytes < 600_000


@pytest.mark.parametrize(
    "document",
    [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    ],
)
async def test_a_fragment_within_itself_is_refused(door, document):
    result = await door.run(document)

    assert "within itself" in result.errors[0].message


@pytest.mark.parametrize("times", [1, 2])  # the second is one that is kept
async def test_of_several_operations_one_must_be_named(door, times):
    document = "query A { viewer { subject } } query B { __typename }"
    for _ in range(times):
        unnamed = await door.run(document)
        named = await door.run(document, operation_name="B")

    assert "Name the operation" in unnamed.errors[0].message
    assert named.data == {"__typename": "Query"}


async def test_introspection_and_suggestions_are_off_unless_they_are_asked_for(door):
    schema = await door.run("{ __schema { queryType { name } } }")
    typo = await door.run("{ viewr { subject } }")
    kind = await door.run("{ viewer { __typename } }")

    assert "introspection" in schema.errors[0].message
    assert "Did you mean" not in typo.errors[0].message
    assert kind.data == {"viewer": {"__typename": "Viewer"}}


async def test_lists_within_lists_are_counted_before_they_are_made(door):
    cycle = "{ definitions { queue" * 9 + " { name } " + "}}" * 9
    result = await door.run(f"{{ queues {cycle} }}")

    assert {error.extensions["code"] for error in result.errors} == {ErrorCode.BAD_USER_INPUT}
    assert "more than 25,000 items" in result.errors[0].message


async def test_fields_are_counted_in_an_answer_as_well(door):
    names = " ".join(f"a{i}: name" for i in range(190))
    cycle = "{ queue { definitions " * 3
    began = time.process_time()
    result = await door.run(f"{{ taskDefinitions {cycle} {{ {names} }} {'}' * 7}")

    assert "more than 25,000 items" in result.errors[0].message
    assert time.process_time() - began < 5, "it took half a minute to make all of it"


async def test_texts_are_counted_by_their_length(door, engine):
    data = await door.execute(
        "mutation($text: String!) { enqueueEcho(input: {message: $text}) {"
        " ... on EnqueueEchoSuccess { task { input { message } } } } }",
        text="x" * 8_000,
    )
    again = " ".join(f"a{i}: message" for i in range(150))
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 1_000})
    result = await door.run(
        f"{{ tasks {{ nodes {{ ... on EchoTask {{ input {{ {again} }} }} }} }} }}"
    )

    assert len(data["enqueueEcho"]["task"]["input"]["message"]) == 8_000
    assert "more than 1,000 items" in result.errors[0].message


async def test_events_of_a_history_are_counted_before_they_are_read(door, engine):
    await door.add()
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 30})
    few = await door.run("{ tasks { nodes { history { cursor } } } }")
    many = await door.run("{ tasks { nodes { history(first: 100) { cursor } } } }")

    assert few.errors is None
    assert "more than 30 items" in many.errors[0].message


async def test_what_is_asked_for_many_times_is_read_once(door):
    id_ = await door.add()
    context = door.context

    first, second = await context.inputs.load_many([id_, id_])

    assert json.loads(first.text) == {"x": 1, "y": 2}
    assert first is second


async def test_values_of_a_variable_are_counted_before_they_are_inputs(door):
    once = "a: enqueueAdd(input: {x: 1, y: 2}, options: {tags: $tags}) { __typename }"
    twice = f"{once} {once.replace('a:', 'b:')}"
    too_many = "The variables hold more than 25,000 values: send less at a time"

    few = await door.run(f"mutation($tags: [String!]) {{ {once} }}", variable_values={"tags": [""]})
    answers = [
        await door.run(f"mutation($tags: [String!]) {{ {fields} }}", variable_values={"tags": tags})
        for fields, tags in ((once, [""] * 25_000), (twice, [""] * 12_500))
    ]

    assert few.data == {"a": {"__typename": "InvalidInput"}}
    assert [[error.message for error in answer.errors] for answer in answers] == [[too_many]] * 2


async def test_a_stream_has_its_variables_counted(door):
    watch = "subscription($ids: [ID!]) { tasks(filter: {ids: $ids}) { cursor } }"
    async with aclosing(door.subscribe(watch, ids=["x"] * 25_000)) as events:
        assert await anext(events) == [ErrorCode.BAD_USER_INPUT]


async def test_each_event_is_counted_alone(door, engine, report):
    root, steps = await door.chain()
    watch = (
        "subscription($id: ID!) { task(id: $id) { task { ... on Workflow { steps { key } } } } }"
    )
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 10})

    async with aclosing(door.subscribe(watch, id=root)) as events:
        for number in range(5):
            event = await anext(events)
            report(add, steps[0], "RETRY", ValueError("again"))
            if number == 0:
                assert len(event["task"]["steps"]) == 3
    many = await door.run(f'{{ task(id: "{root}") {{ ... on Workflow {{ {SIX_TIMES} }} }} }}')

    assert {error.extensions["code"] for error in many.errors} == {ErrorCode.BAD_USER_INPUT}
