"""Test that the time to validate the arguments of the tasks is linear in their length."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from celeryql.adopt.exposed_tasks import exposed_tasks
from celeryql.definition.arguments import STRING_MAX
from celeryql.errors import InvalidInput
from tasks.celery_app import app

# Pieces that make parsers backtrack or decode repeatedly.
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
LIST_ITEMS = 3  # constant: only the length of strings varies
STEPS = (1 / 8, 1)  # of the maximum length


def build_value(schema, defs, piece, part):
    """Build a value for a JSON schema whose strings have a part of the maximum length."""
    while "$ref" in schema or "anyOf" in schema:
        schema = schema["anyOf"][0] if "anyOf" in schema else defs[schema["$ref"].split("/")[-1]]
    if schema["type"] == "array":
        return [build_value(schema["items"], defs, piece, part)] * LIST_ITEMS
    if schema["type"] == "object":
        fields = schema["properties"].items()
        return {name: build_value(field, defs, piece, part) for name, field in fields}
    if schema["type"] == "string":
        length = int(schema.get("maxLength", STRING_MAX) * part)
        return schema["enum"][0] if "enum" in schema else (piece * length)[:length]
    return schema.get("minimum", True)  # a number


def validation_s(definition, given):
    """Return the shortest time to validate an input, valid or not."""
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        with suppress(InvalidInput):
            definition.validate_input(given, ("input",))
        least = min(least, time.process_time() - began)
    return least


@pytest.mark.parametrize("piece", HOSTILE, ids=ascii)
@pytest.mark.parametrize("definition", exposed_tasks(app).values(), ids=lambda d: d.name)
def test_validation_time_grows_linearly_with_length(definition, piece):
    schema = definition.arguments.model_json_schema()
    short_s, long_s = (
        validation_s(definition, build_value(schema, schema.get("$defs", {}), piece, part))
        for part in STEPS
    )

    # Linear time grows by a factor of 8, quadratic time by 64.
    assert long_s < 24 * short_s + 0.002
    assert long_s < 0.3
