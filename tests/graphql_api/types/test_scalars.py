"""Errors of scalars describe the expected format and locate the value."""

from __future__ import annotations

import pytest

NOT_A_TIME = "DateTime must be a date with a time, such as 2030-01-31T12:00:00Z, not"
ENQUEUE = """
mutation($options: TaskOptions) { enqueueAdd(input: {x: 1, y: 2}, options: $options) {
  __typename } }
"""
LITERAL = """
mutation { enqueueAdd(input: {x: 1, y: 2}, options: {
  start: {at: %s} }) { __typename } }
"""


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("tomorrow", '"tomorrow"'),
        ("", '""'),
        (3, "3"),
        ([None], "[null]"),
        ("2030-02-30T00:00:00Z", '"2030-02-30T00:00:00Z"'),
        ("a\ud800", r'"a\ud800"'),
        ("x" * 100_000, '"' + "x" * 39 + "..."),
    ],
    ids=["word", "nothing", "number", "list", "no such day", "no Unicode", "long"],
)
async def test_an_invalid_time_in_a_variable_is_refused_with_format_and_path(
    local_client, at, shown
):
    result = await local_client.run(ENQUEUE, variable_values={"options": {"start": {"at": at}}})

    (error,) = result.errors
    assert (
        error.message == f"Variable '$options' has invalid value at .start.at: {NOT_A_TIME} {shown}"
    )


async def test_an_invalid_time_in_a_document_is_refused_with_format_and_location(local_client):
    result = await local_client.run(LITERAL % '"tomorrow"')

    (error,) = result.errors
    assert error.message == f'{NOT_A_TIME} "tomorrow"'
    assert [(where.line, where.column) for where in error.locations] == [(3, 15)]


async def test_a_valid_time_is_accepted(local_client):
    result = await local_client.run(LITERAL % '"2020-01-31T12:00:00Z"')

    assert result.data == {"enqueueAdd": {"__typename": "EnqueueAddSuccess"}}


async def test_an_invalid_cursor_is_refused_at_its_location(local_client):
    result = await local_client.run('{ task(id: "x") { history(after: "latest") { kind } } }')

    (error,) = result.errors
    assert error.message == ('EventCursor must be the `cursor` of an event or a task, not "latest"')
    assert error.locations[0].column == 34
