"""Scalars whose text has a form: an error says which, and where the value stands.

Strawberry's own repeat what a Python function says of the text, and name no place in a document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from graphql import GraphQLError, ValueNode, value_from_ast_untyped
from strawberry.schema.types import base_scalars
from strawberry.types.scalar import ScalarDefinition

from celeryql.definition.numbers import INT_MAX
from graphql_api.types.scalars import BIG_INT, EVENT_CURSOR, BigInt, EventCursor

_SHOWN = 40  # characters of a value that is refused


def _with_form(scalar: ScalarDefinition, form: str) -> ScalarDefinition:
    def parse_value(value: object) -> Any:
        try:
            return scalar.parse_value(value)  # type: ignore[misc]  # each of those below has one
        except GraphQLError as error:
            message = f"{scalar.name} must be {form}, not {_shown(value)}"
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


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: _with_form(
        base_scalars.DateTimeDefinition, "a date with a time, such as 2030-01-31T12:00:00Z"
    ),
    date: _with_form(base_scalars.DateDefinition, "a date such as 2030-01-31"),
    time: _with_form(base_scalars.TimeDefinition, "a time such as 12:00:00"),
    Decimal: _with_form(base_scalars.DecimalDefinition, 'a number, or one as text such as "1.50"'),
    UUID: _with_form(
        base_scalars.UUIDDefinition, "a UUID such as 123e4567-e89b-12d3-a456-426614174000"
    ),
    BigInt: _with_form(BIG_INT, f"an integer from -{INT_MAX} to {INT_MAX}"),
    EventCursor: _with_form(EVENT_CURSOR, "the `cursor` of an event or a task"),
}
