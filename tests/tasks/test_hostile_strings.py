"""What the strings of the reference tasks take to check grows with their length, and no faster."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from celeryql.adopt.exposed_tasks import exposed_tasks
from celeryql.definition.arguments import STRING_MAX
from celeryql.errors import InvalidInput
from tasks.celery_app import app

# What makes parsers go back, or decode, again and again.
HOSTILE = (
    '"',
    '"\\',
    "\\",
    "a",
    "a.",
    ".",
    "a@",
    "@",
    " ",
    "a ",
    "<",
    '"<',
    "(",
    "[",
    "=?",
    "=?utf-8?q?",
    ",",
    "\n",
    "\r\n ",
    "\0",
    "İ",
    "é",
    "e\u0301",
    "😀",
)
ITEMS_MAX = 3  # of a list: how many there are is not what is varied
STEPS = (1 / 8, 1)


def filled(schema, defs, piece, part):
    """Make a value of a JSON schema whose strings have a part of the length that is allowed."""
    while "$ref" in schema or "anyOf" in schema:
        schema = schema["anyOf"][0] if "anyOf" in schema else defs[schema["$ref"].split("/")[-1]]
    if schema["type"] == "array":
        return [filled(schema["items"], defs, piece, part)] * ITEMS_MAX
    if schema["type"] == "object":
        fields = schema["properties"].items()
        return {name: filled(field, defs, piece, part) for name, field in fields}
    if schema["type"] == "string":
        length = int(schema.get("maxLength", STRING_MAX) * part)
        return schema["enum"][0] if "enum" in schema else (piece * length)[:length]
    return schema.get("minimum", True)  # a number


def taken_s(definition, given):
    """Measure the least time that a check takes, whatever comes of it."""
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        with suppress(InvalidInput):
            definition.validate_input(given, ("input",))
        least = min(least, time.process_time() - began)
    return least


@pytest.mark.parametrize("piece", HOSTILE, ids=ascii)
@pytest.mark.parametrize("definition", exposed_tasks(app).values(), ids=lambda d: d.name)
def test_the_time_of_a_check_grows_with_the_length(definition, piece):
    schema = definition.arguments.model_json_schema()
    few, all_ = (
        taken_s(definition, filled(schema, schema.get("$defs", {}), piece, part)) for part in STEPS
    )

    # Eight times the length may take eight times as long; were it square, it would be 64 times.
    assert all_ < 24 * few + 0.002
    assert all_ < 0.3
