"""Scalars: event cursors, large integers, and Strawberry's own scalars with clearer errors.

Strawberry reports the message of a Python exception and no location in the document. The errors of
these scalars describe the expected format and locate the value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NewType
from uuid import UUID

import strawberry
from graphql import GraphQLError, ValueNode, value_from_ast_untyped
from strawberry.schema.types import base_scalars
from strawberry.types.scalar import ScalarDefinition

from celeryql.definition.number_limits import INT_MAX
from celeryql.records import Cursor, cursor_position

_SHOWN = 40  # characters of a refused value that the error repeats

EventCursor = NewType("EventCursor", str)
BigInt = NewType("BigInt", int)


def _parse_cursor(value: object) -> EventCursor:
    try:
        cursor_position(Cursor(str(value)))
    except ValueError as error:
        raise GraphQLError("not an event cursor") from error  # `_with_format` words the error
    return EventCursor(str(value))


def _big_int(value: object) -> int:
    is_bool = isinstance(value, bool)
    if isinstance(value, int | float) and not is_bool and abs(value) <= INT_MAX and value % 1 == 0:
        return int(value)
    raise GraphQLError(f"BigInt cannot represent {value!r}: it holds integers up to {INT_MAX}")


_EVENT_CURSOR = strawberry.scalar(
    name="EventCursor",
    description="An opaque, durable position in the stream of events. Pass it as `after` to "
    "resume without missing an event.",
    serialize=str,
    parse_value=_parse_cursor,
)
_DATE_TIME = replace(
    base_scalars.DateTimeDefinition,
    description="A date and time in ISO 8601, such as `2027-01-01T08:00:00Z`.",
)
_BIG_INT = strawberry.scalar(
    name="BigInt",
    description=f"An integer from -{INT_MAX} to {INT_MAX}, sent as a JSON number.",
    serialize=_big_int,
    parse_value=_big_int,
)


def _with_format(scalar: ScalarDefinition, expected: str) -> ScalarDefinition:
    def parse_value(value: object) -> Any:
        try:
            return scalar.parse_value(value)  # type: ignore[misc]  # each scalar below has a parser
        except GraphQLError as error:
            message = f"{scalar.name} must be {expected}, not {_shown(value)}"
            raise GraphQLError(message) from error

    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return parse_value(value_from_ast_untyped(node, variables))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from error

    return replace(scalar, parse_value=parse_value, parse_literal=parse_literal)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


#: The scalar of each Python type, for Strawberry's configuration.
SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: _with_format(_DATE_TIME, "a date with a time, such as 2030-01-31T12:00:00Z"),
    date: _with_format(base_scalars.DateDefinition, "a date such as 2030-01-31"),
    time: _with_format(base_scalars.TimeDefinition, "a time such as 12:00:00"),
    Decimal: _with_format(
        base_scalars.DecimalDefinition, 'a number, or one as text such as "1.50"'
    ),
    UUID: _with_format(
        base_scalars.UUIDDefinition, "a UUID such as 123e4567-e89b-12d3-a456-426614174000"
    ),
    BigInt: _with_format(_BIG_INT, f"an integer from -{INT_MAX} to {INT_MAX}"),
    EventCursor: _with_format(_EVENT_CURSOR, "the `cursor` of an event or a task"),
}
