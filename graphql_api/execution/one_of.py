"""OneOf inputs, checked so that each error names the place of the input.

Strawberry's check of variables names no place, and its check of literals fails on some documents.
graphql-core's checks do better, but one bad item of a list refuses the whole operation. So a OneOf
input that can be an item of a batch has its own reader, which reports the error for its item only;
graphql-core checks all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import strawberry
from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    NullValueNode,
    ObjectValueNode,
    ValidationRule,
    get_named_type,
)
from strawberry.types.base import StrawberryObjectDefinition

NOT_ONE_OF = "Exactly one field must be given, and it must not be null"


def is_one_of(given: Mapping[str, Any]) -> bool:
    """Whether exactly one member is given and is not null."""
    return len(given) == 1 and None not in given.values()


def let_graphql_core_check(schema: strawberry.Schema) -> None:
    """Let graphql-core check each OneOf input of a schema that has no reader of its own."""
    for type_ in schema._schema.type_map.values():  # noqa: SLF001  # there is no public way
        if isinstance(type_, GraphQLInputObjectType) and _definition(type_).is_one_of:
            del type_.out_type  # Strawberry's check
            type_.is_one_of = not _has_reader(type_)


def _definition(type_: GraphQLInputObjectType) -> StrawberryObjectDefinition:
    definition: StrawberryObjectDefinition = type_.extensions["strawberry-definition"]
    return definition


def _has_reader(type_: GraphQLInputObjectType) -> bool:
    definition = _definition(type_)
    return definition.is_one_of and definition.from_input is not None


class OneOfLiteralsRule(ValidationRule):
    """Checks the literals of OneOf inputs that have their own reader, as graphql-core would."""

    def enter_object_value(self, node: ObjectValueNode, *_: Any) -> None:
        """Report a literal that does not have exactly one member, or has null for it."""
        type_ = get_named_type(self.context.get_input_type())
        if not isinstance(type_, GraphQLInputObjectType) or not _has_reader(type_):
            return
        values = [member.value for member in node.fields]
        if len(values) != 1 or isinstance(values[0], NullValueNode):
            self.report_error(GraphQLError(f"{type_}: {NOT_ONE_OF}", node))
