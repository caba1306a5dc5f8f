"""OneOf inputs: where they are checked, so that each error names a place.

Strawberry checks the values of variables in a way that names none, and fails on some documents.
graphql-core does better, but one bad item of a list costs the whole operation. So a OneOf input
that can stand in an item of a batch reads itself, and its reader leaves the refusal to whoever
knows the place; graphql-core checks all others.
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
    """Tell whether exactly one member is given, and not null."""
    return len(given) == 1 and None not in given.values()


def check_by_core(schema: strawberry.Schema) -> None:
    """Have graphql-core check each OneOf input of a schema that does not read itself."""
    for type_ in schema._schema.type_map.values():  # noqa: SLF001  # there is no public way
        if isinstance(type_, GraphQLInputObjectType) and _definition(type_).is_one_of:
            del type_.out_type  # Strawberry's check
            type_.is_one_of = not _reads_itself(type_)


def _definition(type_: GraphQLInputObjectType) -> StrawberryObjectDefinition:
    definition: StrawberryObjectDefinition = type_.extensions["strawberry-definition"]
    return definition


def _reads_itself(type_: GraphQLInputObjectType) -> bool:
    definition = _definition(type_)
    return definition.is_one_of and definition.from_input is not None


class LiteralsRule(ValidationRule):
    """Checks the literals of OneOf inputs that graphql-core leaves alone, as it would."""

    def enter_object_value(self, node: ObjectValueNode, *_: Any) -> None:
        """Report one that has not exactly one member, or null for it."""
        type_ = get_named_type(self.context.get_input_type())
        if not isinstance(type_, GraphQLInputObjectType) or not _reads_itself(type_):
            return
        values = [member.value for member in node.fields]
        if len(values) != 1 or isinstance(values[0], NullValueNode):
            self.report_error(GraphQLError(f"{type_}: {NOT_ONE_OF}", node))
