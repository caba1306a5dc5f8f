"""Documents on their way to execution: parsed once, measured, then validated.

Strawberry's caches keep documents of any size, and its limiters are slow (see `sizes.py`). This
stands here for both: what a document comes to is known before anything slower sees it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    Token,
    TokenKind,
    ValidationContext,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from graphql.validation.validate import ValidationAbortedError
from strawberry.types import ExecutionContext

from celeryql.settings import Settings
from graphql_api.api_errors import shorten
from graphql_api.execution.document_cost import Measure, Size, named_variables, weigh_variables
from graphql_api.execution.one_of import LiteralsRule

_CACHED_LENGTH = 8_000  # characters; what is parsed of a larger one takes megabytes
_CACHE_BYTES = 32_000_000  # for example 100 documents of 500 tokens; a client sends few
_TOKEN_BYTES = 650  # of what is parsed of a token: 290 to 610 were measured
_CHARACTER_BYTES = 8  # of the text and of what is copied of it, where Python needs four for each
_NAME_MAX = 200  # characters; errors, answers and what is kept repeat names
_ERRORS_MAX = 10
_CHARACTERS_OF_VALUE = 100  # of a document; it names fields, too
# A comparison of two fields costs 2 and takes some microseconds: so 0.1 s is the most. Half of
# graphql-core's own budget of 500,000 took 2 s. A hundred fragments in one place cost 40,000.
_COMPARISONS_MAX = 50_000
_ABORTED = "Validation aborted."  # all that graphql-core says where one of its budgets is spent


class _Overlaps(OverlappingFieldsCanBeMergedRule):
    """The rule of graphql-core that takes longest, with a budget that does not hold up others."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = _COMPARISONS_MAX

    def enter_selection_set(self, *visited: Any) -> None:
        """Compare the fields of one selection set.

        Raises:
            ValidationAbortedError: the budget is spent, or there are too many errors.
        """
        try:
            super().enter_selection_set(*visited)
        except ValidationAbortedError:
            if self.rule_context.remaining_complexity_budget >= 0:
                raise
            raise ValidationAbortedError(
                "The document names the same fields too often in one place to compare them: "
                "merge them, or send several documents"
            ) from None


_RULES = (
    *(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule),
    _Overlaps,
    LiteralsRule,  # of Strawberry's own, one crashes, and one says nothing
)


class DocumentLimits(NamedTuple):
    """What a document may contain, and what its errors may show."""

    most: Size
    tokens: int  # and lines
    operations: int
    values: int
    introspection: bool
    suggestions: bool

    @classmethod
    def of(cls, settings: Settings) -> DocumentLimits:
        """Read the limits from settings."""
        most = Size(
            depth=settings.max_depth,
            roots=settings.max_root_fields,
            fields=settings.max_fields,
            aliases=settings.max_aliases,
            directives=settings.max_directives,
        )
        return cls(
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
        asked.parse_options["max_tokens"] = asked.context.document_limits.tokens
        with suppress(GraphQLError):
            self._document = look(asked.schema, asked.query or "", asked.context.document_limits)
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
            most = asked.context.document_limits.values
            weight = weigh_variables(document.named, asked.variables or {}, most)
            asked.context.input_weight = weight + len(asked.query or "") / _CHARACTERS_OF_VALUE
            if not errors and weight > most:
                text = f"The variables hold more than {most:,} values: send less at a time"
                errors = [GraphQLError(text)]
            asked.pre_execution_errors = errors


class Kept:
    """Documents that were looked at, those used last, up to a size in memory."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._documents: OrderedDict[tuple[Any, str, DocumentLimits], tuple[Document, int]] = (
            OrderedDict()
        )

    def look(self, schema: Any, text: str, limits: DocumentLimits) -> Document:
        """Give what is kept of a document, or look at it and keep that."""
        key = schema, text, limits
        if kept := self._documents.get(key):
            self._documents.move_to_end(key)
            return kept[0]
        document = _look(schema, text, limits)
        tokens = sum(1 for _ in _tokens(document.parsed))
        size_bytes = tokens * _TOKEN_BYTES + len(text) * _CHARACTER_BYTES
        self._documents[key] = document, size_bytes
        self._left_bytes -= size_bytes
        while self._left_bytes < 0:
            _, (_, freed_bytes) = self._documents.popitem(last=False)
            self._left_bytes += freed_bytes
        return document


_kept = Kept(_CACHE_BYTES)


def look(schema: Any, text: str, limits: DocumentLimits) -> Document:
    """Parse, measure and validate a document; what was seen of late is remembered.

    Raises:
        GraphQLError: its syntax is wrong, or it has too many tokens.
    """
    return (_kept.look if len(text) <= _CACHED_LENGTH else _look)(schema, text, limits)


def _parse(text: str, limits: DocumentLimits) -> DocumentNode:
    return parse(text, max_tokens=limits.tokens)


def _look(schema: Any, text: str, limits: DocumentLimits) -> Document:
    parsed = _parse(text, limits)
    measure = Measure(parsed, limits.most)
    excess = _many_lines(text, limits.tokens) or _long_name(parsed)
    if excess := excess or measure.excess(limits.operations):
        errors = [GraphQLError(excess)]
    else:
        errors = _validate(schema, parsed, limits)
    return Document(parsed, tuple(errors), len(measure.operations), named_variables(text))


def _validate(schema: Any, parsed: DocumentNode, limits: DocumentLimits) -> list[GraphQLError]:
    rules = _RULES if limits.introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
    errors = validate(
        schema._schema,  # noqa: SLF001  # no public way
        parsed,
        rules,
        max_errors=_ERRORS_MAX,
        hide_suggestions=not limits.suggestions,
    )
    for error in errors:
        if error.message == _ABORTED:
            error.message = (
                "The document spreads fragments too often, or too deep within each other, to be "
                "validated: write out some of them, or send several documents"
            )
        error.message = shorten(error.message)
    return errors


def _tokens(parsed: DocumentNode) -> Iterator[Token]:
    token = parsed.loc and parsed.loc.start_token
    while token:
        yield token
        token = token.next


def _many_lines(text: str, most: int) -> str | None:
    """Say so where there are too many lines: graphql-core reads them again to locate each error."""
    if text.count("\n") + text.count("\r") - text.count("\r\n") >= most:
        return f"The document has more than {most:,} lines: leave out empty ones and comments"
    return None


def _long_name(parsed: DocumentNode) -> str | None:
    """Say so where a name is too long: what it is in repeats it."""
    names = (t.value or "" for t in _tokens(parsed) if t.kind is TokenKind.NAME)
    if any(len(name) > _NAME_MAX for name in names):
        return f"The document has a name of more than {_NAME_MAX} characters"
    return None


def is_mutation(schema: Any, text: str, operation_name: str | None, limits: DocumentLimits) -> bool:
    """Tell whether a document's operation is a mutation; False where it has no such operation."""
    with suppress(GraphQLError):
        is_known = len(text) <= _CACHED_LENGTH
        parsed = look(schema, text, limits).parsed if is_known else _parse(text, limits)
        operation = get_operation_ast(parsed, operation_name)
        return operation is not None and operation.operation is OperationType.MUTATION
    return False
