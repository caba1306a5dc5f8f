"""Documents on their way to execution: parsed once, measured, then validated.

Strawberry's own limiters walk a fragment each time it is spread, so that a document of 744 bytes
holds a process for seconds, and its caches keep documents of any size. This is one extension in
place of both: what a document comes to is known after one visit of each of its fragments, before
anything slower looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import strawberry
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from tasks.engine.settings import Settings

_CACHED = 200  # documents; a client sends few
_CACHED_LENGTH = 8_000  # characters; what is parsed of a larger one takes megabytes
_NESTING = 4  # fragments and fields within each other, as a multiple of the depth that is allowed
_RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)


@dataclass(frozen=True, slots=True)
class Size:
    """What an operation or a part of one comes to, its fragments counted wherever they are spread.

    Attributes:
        depth: fields within each other.
        roots: fields that it begins with.
    """

    depth: int = 0
    roots: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0

    def beside(self, other: Size) -> Size:
        """Give the size of two parts next to each other."""
        return Size(
            max(self.depth, other.depth),
            self.roots + other.roots,
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
        )


class Policy(NamedTuple):
    """What a document may come to, and what its sender is told."""

    most: Size
    tokens: int
    operations: int
    introspection: bool
    suggestions: bool


@lru_cache(8)
def policy_of(settings: Settings) -> Policy:
    """Give the policy that settings name."""
    most = Size(
        depth=settings.max_depth,
        roots=settings.max_root_fields,
        fields=settings.max_fields,
        aliases=settings.max_aliases,
        directives=settings.max_directives,
    )
    return Policy(
        most,
        settings.max_tokens,
        settings.max_operations,
        settings.introspection,
        settings.suggestions,
    )


class Document(NamedTuple):
    """A document as it was parsed, and what is wrong with it."""

    parsed: DocumentNode
    errors: tuple[GraphQLError, ...]
    operations: int


class Documents(SchemaExtension):
    """Parses, measures and validates; made anew for each operation, as Strawberry wants it."""

    _document: Document | None = None

    def on_operation(self) -> Iterator[None]:
        """Have whoever parses count tokens."""
        policy = self.execution_context.context.policy
        self.execution_context.parse_options["max_tokens"] = policy.tokens
        yield

    def on_parse(self) -> Iterator[None]:
        """Parse the document, unless it is wrong.

        Strawberry's own parser says what is wrong with it then: raised from an extension, the error
        would end a WebSocket operation as if it had succeeded.
        """
        asked = self.execution_context
        with suppress(GraphQLError):
            look = _look if len(asked.query or "") > _CACHED_LENGTH else _look_once
            self._document = look(asked.schema._schema, asked.query or "", asked.context.policy)  # noqa: SLF001  # there is no public way
            asked.graphql_document = self._document.parsed
        yield

    def on_validate(self) -> Iterator[None]:
        """Hand over what is wrong with the document."""
        asked, document = self.execution_context, self._document
        if document:
            errors = list(document.errors)  # who reports them replaces them in the list
            named = asked._provided_operation_name is not None  # noqa: SLF001  # likewise
            if not errors and document.operations > 1 and not named:
                # Strawberry would run the first.
                errors = [GraphQLError("Name the operation to run: the document has several")]
            asked.pre_execution_errors = errors
        yield


def _look(schema: GraphQLSchema, text: str, policy: Policy) -> Document:
    """Parse, measure and validate a document.

    Raises:
        GraphQLError: its syntax is wrong, or it has too many tokens.
    """
    parsed = parse(text, max_tokens=policy.tokens)
    measure = _Measure(parsed, policy.most.depth * _NESTING)
    errors = measure.errors(policy)
    if not errors:
        rules = _RULES if policy.introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        errors = validate(schema, parsed, rules, hide_suggestions=not policy.suggestions)
    return Document(parsed, tuple(errors), len(measure.operations))


_look_once = lru_cache(_CACHED)(_look)


class _Measure:
    """Tells what operations come to."""

    def __init__(self, document: DocumentNode, nesting: int) -> None:
        self._nesting = nesting
        parts = document.definitions
        self.operations = [part for part in parts if isinstance(part, OperationDefinitionNode)]
        self._fragments = {
            part.name.value: part for part in parts if isinstance(part, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}

    def errors(self, policy: Policy) -> list[GraphQLError]:
        """Tell what is too much: the first of it, for the rest may take too long to count."""
        if len(self.operations) > policy.operations:
            return [GraphQLError(f"The document has more than {policy.operations:,} operations")]
        try:
            sizes = [self._of_definition(part) for part in self.operations]
            # What no operation spreads is validated, too.
            sizes += [replace(self._of_fragment(name, 0), roots=0) for name in self._fragments]
        except _NestedTooDeep:
            return [
                GraphQLError(f"The document is nested deeper than {policy.most.depth:,} fields")
            ]
        most = asdict(policy.most)
        return [
            GraphQLError(f"An operation has more than {most[name]:,} {_NAMES.get(name, name)}")
            for size in sizes
            for name, found in asdict(size).items()
            if found > most[name]
        ][:1]

    def _of_definition(
        self, part: OperationDefinitionNode | FragmentDefinitionNode, nesting: int = 0
    ) -> Size:
        own = Size(directives=len(part.directives or ()))
        return own.beside(self._of(part.selection_set, nesting + 1))

    def _of(self, selections: SelectionSetNode | None, nesting: int) -> Size:
        if nesting > self._nesting:  # a call of Python's each
            raise _NestedTooDeep
        size = Size()
        for node in selections.selections if selections else ():
            size = size.beside(Size(directives=len(node.directives or ())))
            if isinstance(node, FieldNode):
                inner = self._of(node.selection_set, nesting + 1)
                aliases = inner.aliases + (node.alias is not None)
                size = size.beside(
                    Size(inner.depth + 1, 1, inner.fields + 1, aliases, inner.directives)
                )
            elif isinstance(node, InlineFragmentNode):
                size = size.beside(self._of(node.selection_set, nesting + 1))
            elif isinstance(node, FragmentSpreadNode):
                size = size.beside(self._of_fragment(node.name.value, nesting + 1))
        return size

    def _of_fragment(self, name: str, nesting: int) -> Size:
        if name not in self._sizes:
            self._sizes[name] = Size()  # to one that is within itself; validation refuses it
            if fragment := self._fragments.get(name):
                self._sizes[name] = self._of_definition(fragment, nesting)
        return self._sizes[name]


class _NestedTooDeep(Exception):
    """There is more within each other than is looked into."""


_NAMES = {"depth": "levels of fields", "roots": "fields to begin with"}


def is_mutation(
    schema: strawberry.Schema, text: str, operation_name: str | None, policy: Policy
) -> bool:
    """Tell whether a document's operation is a mutation; False where it has no such operation."""
    look = _look if len(text) > _CACHED_LENGTH else _look_once
    with suppress(GraphQLError):
        operation = get_operation_ast(look(schema._schema, text, policy).parsed, operation_name)  # noqa: SLF001  # there is no public way
        return operation is not None and operation.operation is OperationType.MUTATION
    return False
