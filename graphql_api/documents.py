"""Documents on their way to execution: parsed once, measured, then validated.

Strawberry's caches keep documents of any size, and its limiters are slow (see `sizes.py`). This
stands here for both: what a document comes to is known before anything slower sees it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.types import ExecutionContext

from graphql_api.one_of import LiteralsRule
from graphql_api.sizes import Measure, Size, count_values, named_variables
from tasks.engine.settings import Settings

_CACHED = 200  # documents; a client sends few
_CACHED_LENGTH = 8_000  # characters; what is parsed of a larger one takes megabytes
_RULES = (*specified_rules, LiteralsRule)  # of Strawberry's own, one crashes, and one says nothing


class Policy(NamedTuple):
    """What a document may come to, and what its sender is told."""

    most: Size
    tokens: int
    operations: int
    values: int
    introspection: bool
    suggestions: bool


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
        settings.max_values,
        settings.introspection,
        settings.suggestions,
    )


class Document(NamedTuple):
    """A document as it was parsed, and what is wrong with it."""

    parsed: DocumentNode
    errors: tuple[GraphQLError, ...]
    operations: int
    named: Counter[str]  # how often each variable is


class Documents:
    """Parses, measures and validates the document of one operation."""

    def __init__(self, asked: ExecutionContext) -> None:
        self._asked = asked
        self._document: Document | None = None

    def parse(self) -> None:
        """Parse the document, unless it is wrong.

        Strawberry's own parser says what is wrong with it then: raised from here, the error would
        end a WebSocket operation as if it had succeeded.
        """
        asked = self._asked
        asked.parse_options["max_tokens"] = asked.context.policy.tokens
        with suppress(GraphQLError):
            self._document = look(asked.schema, asked.query or "", asked.context.policy)
            asked.graphql_document = self._document.parsed

    def validate(self) -> None:
        """Hand over what is wrong with the document."""
        asked, document = self._asked, self._document
        if document:
            errors = list(document.errors)  # who reports them replaces them in the list
            named = asked._provided_operation_name is not None  # noqa: SLF001  # no public way
            if not errors and document.operations > 1 and not named:
                # Strawberry would run the first.
                errors = [GraphQLError("Name the operation to run: the document has several")]
            most = asked.context.policy.values
            if not errors and count_values(document.named, asked.variables or {}) > most:
                errors = [GraphQLError(f"The variables hold more than {most:,} values")]
            asked.pre_execution_errors = errors


def look(schema: Any, text: str, policy: Policy) -> Document:
    """Parse, measure and validate a document; what was seen of late is remembered.

    Raises:
        GraphQLError: its syntax is wrong, or it has too many tokens.
    """
    return (_look_once if len(text) <= _CACHED_LENGTH else _look)(schema, text, policy)


def _parse(text: str, policy: Policy) -> DocumentNode:
    return parse(text, max_tokens=policy.tokens)


def _look(schema: Any, text: str, policy: Policy) -> Document:
    parsed = _parse(text, policy)
    measure = Measure(parsed, policy.most)
    if excess := measure.excess(policy.operations):
        errors = [GraphQLError(excess)]
    else:
        rules = _RULES if policy.introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        hides = not policy.suggestions
        errors = validate(schema._schema, parsed, rules, hide_suggestions=hides)  # noqa: SLF001  # no public way
    return Document(parsed, tuple(errors), len(measure.operations), named_variables(text))


_look_once = lru_cache(_CACHED)(_look)


def is_mutation(schema: Any, text: str, operation_name: str | None, policy: Policy) -> bool:
    """Tell whether a document's operation is a mutation; False where it has no such operation."""
    with suppress(GraphQLError):
        is_known = len(text) <= _CACHED_LENGTH
        parsed = look(schema, text, policy).parsed if is_known else _parse(text, policy)
        operation = get_operation_ast(parsed, operation_name)
        return operation is not None and operation.operation is OperationType.MUTATION
    return False
