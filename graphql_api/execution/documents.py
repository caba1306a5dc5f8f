"""Documents before execution: each is parsed once, checked against limits, validated and cached.

Strawberry caches documents of any size, and its limiters are slow (see `document_limits.py`). This
module replaces both: limits are checked before any slower step.
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

from graphql_api.api_errors import shorten
from graphql_api.execution.document_limits import (
    DocumentLimits,
    DocumentMeasure,
    count_variable_names,
    weigh_variables,
)
from graphql_api.execution.one_of import OneOfLiteralsRule

_CACHED_LENGTH_MAX = 8_000  # characters; a longer document takes megabytes when parsed
_CACHE_BYTES = 32_000_000  # for example 100 documents of 500 tokens; a client sends few
_TOKEN_BYTES = 650  # of a parsed token: 290 to 610 were measured
_CHARACTER_BYTES = 8  # of the text and its copies, where Python needs 4 bytes for each character
_NAME_MAX = 200  # characters; errors, answers and caches repeat names
_ERRORS_MAX = 10
_CHARACTERS_PER_VALUE = 100  # of a document, which also holds names
# Comparing two fields costs 2 and takes some microseconds, so this allows 0.1 s. Half of
# graphql-core's own budget of 500,000 took 2 s. A hundred fragments in one place cost 40,000.
_COMPARISONS_MAX = 50_000
_ABORTED = "Validation aborted."  # graphql-core's only message when a budget is spent


class _OverlappingFieldsRule(OverlappingFieldsCanBeMergedRule):
    """graphql-core's slowest rule, with a budget that keeps it short."""

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
    _OverlappingFieldsRule,
    OneOfLiteralsRule,
)


class CheckedDocument(NamedTuple):
    """A parsed document and its errors."""

    parsed: DocumentNode
    errors: tuple[GraphQLError, ...]
    operations: int
    variable_names: Counter[str]


class DocumentChecks:
    """Parses and validates the document of one operation."""

    def __init__(self, execution: ExecutionContext) -> None:
        self._execution = execution
        self._document: CheckedDocument | None = None

    def parse(self) -> None:
        """Parse the document, unless its syntax is wrong.

        In that case Strawberry's own parser reports the error afterwards. An error raised from here
        would end a WebSocket operation as if it had succeeded.
        """
        execution, limits = self._execution, self._execution.context.document_limits
        execution.parse_options["max_tokens"] = limits.tokens
        with suppress(GraphQLError):
            self._document = check_document(execution.schema, execution.query or "", limits)
            execution.graphql_document = self._document.parsed

    def validate(self) -> None:
        """Report the errors of the document, and check the size of the variables."""
        execution, document = self._execution, self._document
        if document:
            errors = list(document.errors)  # a copy, since reporting replaces its items
            is_named = execution._provided_operation_name is not None  # noqa: SLF001  # no public way
            if not errors and document.operations > 1 and not is_named:
                # Strawberry would execute the first one.
                errors = [GraphQLError("Name the operation to run: the document has several")]
            most = execution.context.document_limits.values
            weight = weigh_variables(document.variable_names, execution.variables or {}, most)
            document_weight = len(execution.query or "") / _CHARACTERS_PER_VALUE
            execution.context.input_weight = weight + document_weight
            if not errors and weight > most:
                text = f"The variables hold more than {most:,} values: split the input"
                errors = [GraphQLError(text)]
            execution.pre_execution_errors = errors


class DocumentCache:
    """The most recently used documents, up to a size in memory."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._documents: OrderedDict[
            tuple[Any, str, DocumentLimits], tuple[CheckedDocument, int]
        ] = OrderedDict()

    def check(self, schema: Any, text: str, limits: DocumentLimits) -> CheckedDocument:
        """Return a cached document, or check and cache it."""
        key = schema, text, limits
        if cached := self._documents.get(key):
            self._documents.move_to_end(key)
            return cached[0]
        document = _check(schema, text, limits)
        tokens = sum(1 for _ in _tokens(document.parsed))
        size_bytes = tokens * _TOKEN_BYTES + len(text) * _CHARACTER_BYTES
        self._documents[key] = document, size_bytes
        self._left_bytes -= size_bytes
        while self._left_bytes < 0:
            _, (_, freed_bytes) = self._documents.popitem(last=False)
            self._left_bytes += freed_bytes
        return document


_cache = DocumentCache(_CACHE_BYTES)


def check_document(schema: Any, text: str, limits: DocumentLimits) -> CheckedDocument:
    """Parse a document, check its limits and validate it, or return it from the cache.

    Raises:
        GraphQLError: its syntax is wrong, or it has too many tokens.
    """
    return (_cache.check if _is_cached(text) else _check)(schema, text, limits)


def is_mutation(schema: Any, text: str, operation_name: str | None, limits: DocumentLimits) -> bool:
    """Whether the named operation is a mutation; False if the document does not have it."""
    with suppress(GraphQLError):
        is_cached = _is_cached(text)
        parsed = _cache.check(schema, text, limits).parsed if is_cached else _parse(text, limits)
        operation = get_operation_ast(parsed, operation_name)
        return operation is not None and operation.operation is OperationType.MUTATION
    return False


def _is_cached(text: str) -> bool:
    return len(text) <= _CACHED_LENGTH_MAX


def _parse(text: str, limits: DocumentLimits) -> DocumentNode:
    return parse(text, max_tokens=limits.tokens)


def _check(schema: Any, text: str, limits: DocumentLimits) -> CheckedDocument:
    parsed = _parse(text, limits)
    measure = DocumentMeasure(parsed, limits.size)
    excess = _excess_lines(text, limits.tokens) or _excess_name_length(parsed)
    if excess := excess or measure.find_excess(limits.operations):
        errors = [GraphQLError(excess)]
    else:
        errors = _validate(schema, parsed, limits)
    names = count_variable_names(text)
    return CheckedDocument(parsed, tuple(errors), len(measure.operations), names)


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
                "The document has too many or too deeply nested fragment spreads to be validated: "
                "write out some fragments, or send several documents"
            )
        error.message = shorten(error.message)
    return errors


def _tokens(parsed: DocumentNode) -> Iterator[Token]:
    token = parsed.loc and parsed.loc.start_token
    while token:
        yield token
        token = token.next


def _excess_lines(text: str, most: int) -> str | None:
    """Describe an excess of lines: graphql-core reads them all again to locate each error."""
    if text.count("\n") + text.count("\r") - text.count("\r\n") >= most:
        return f"The document has more than {most:,} lines: leave out empty ones and comments"
    return None


def _excess_name_length(parsed: DocumentNode) -> str | None:
    """Describe an excessive length of a name: answers and errors repeat names."""
    names = (t.value or "" for t in _tokens(parsed) if t.kind is TokenKind.NAME)
    if any(len(name) > _NAME_MAX for name in names):
        return f"The document has a name of more than {_NAME_MAX} characters"
    return None
