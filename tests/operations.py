"""GraphQL operations that select every field, generated from the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)

SCALARS = {"ID": "x", "String": "x", "Int": 1, "Float": 1.0, "Boolean": True}


class Operations:
    """Writes operations with valid arguments."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.roots: dict[str, dict[str, GraphQLField]] = {
            "query": schema.query_type.fields,
            "mutation": schema.mutation_type.fields,
            "subscription": schema.subscription_type.fields,
        }

    def of(self, kind: str, name: str, id_: str = "x", *, depth: int = 4) -> str:
        """Write an operation with one root field and all fields down to a depth."""
        field, fragments = self.roots[kind][name], dict[str, str]()
        selected = self._below(field, id_, depth, fragments)
        operation = f"{kind} {{ {name}{self._arguments(field, id_)} {selected} }}"
        return "\n".join([operation, *fragments.values()])

    def _below(self, field: GraphQLField, id_: str, depth: int, fragments: dict[str, str]) -> str:
        type_ = get_named_type(field.type)
        if not is_composite_type(type_):
            return ""
        if depth == 0:
            return "{ __typename }"
        spreads = [self._spread(t, id_, depth, fragments) for t in self._possible(type_)]
        return f"{{ __typename {' '.join(spreads)} }}"

    def _spread(
        self, type_: GraphQLNamedType, id_: str, depth: int, fragments: dict[str, str]
    ) -> str:
        # With fragments, as a document without them would have 30 MB.
        name = f"{type_.name}_{depth}"
        if name not in fragments:
            fragments[name] = ""
            selected = " ".join(self._selected(type_, id_, depth, fragments))
            fragments[name] = f"fragment {name} on {type_.name} {{ __typename {selected} }}"
        return f"...{name}"

    def _selected(
        self, type_: GraphQLNamedType, id_: str, depth: int, fragments: dict[str, str]
    ) -> Iterator[str]:
        for name, field in type_.fields.items():
            below = self._below(field, id_, depth - 1, fragments)
            # Members of a union may have fields of the same name with different types.
            yield f"{type_.name}_{name}: {name}{self._arguments(field, id_)} {below}"

    def _possible(self, type_: GraphQLNamedType) -> list[GraphQLNamedType]:
        return self._schema.get_possible_types(type_) if is_abstract_type(type_) else [type_]

    def _arguments(self, field: GraphQLField, id_: str) -> str:
        required = {n: a for n, a in field.args.items() if isinstance(a.type, GraphQLNonNull)}
        given = [f"{name}: {self._value(a.type, id_)}" for name, a in required.items()]
        return f"({', '.join(given)})" if given else ""

    def _value(self, type_: GraphQLInputType, id_: str) -> str:
        if isinstance(type_, GraphQLNonNull):
            return self._value(type_.of_type, id_)
        if isinstance(type_, GraphQLList):
            return f"[{self._value(type_.of_type, id_)}]"
        if isinstance(type_, GraphQLEnumType):
            return next(iter(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            return f"{{{', '.join(self._members(type_, id_))}}}"
        return json.dumps(id_ if type_.name == "ID" else SCALARS[type_.name])

    def _members(self, type_: GraphQLInputObjectType, id_: str) -> Iterator[str]:
        members = type_.fields.items()
        needed = [(n, f) for n, f in members if isinstance(f.type, GraphQLNonNull)]
        for name, field in needed or list(members)[: type_.is_one_of]:
            yield f"{name}: {self._value(field.type, id_)}"
