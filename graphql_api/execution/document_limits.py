"""Limits on documents and variables: depth, fields, aliases, directives, operations and values.

Strawberry's own limiters visit a fragment each time it is spread, so that a document of 744 bytes
can block a process for seconds. Here each fragment is measured once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from celeryql.settings import Settings

_NESTING = 4  # selections within each other that are visited, as a multiple of the depth limit
_CHARACTERS = 1_000  # of text, which take as long to check, write and send as one value
_LABELS = {"depth": "levels of fields", "roots": "root fields"}


@dataclass(frozen=True, slots=True)
class DocumentSize:
    """The size of an operation or a part of it; a fragment counts wherever it is spread.

    Attributes:
        depth: levels of fields.
        roots: fields at the top level.
    """

    depth: int = 0
    roots: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0

    def combine(self, other: DocumentSize) -> DocumentSize:
        """Combine the sizes of two parts that are next to each other."""
        return DocumentSize(
            max(self.depth, other.depth),
            self.roots + other.roots,
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
        )


class DocumentLimits(NamedTuple):
    """What a document may contain, and what the schema reveals about itself."""

    size: DocumentSize
    tokens: int  # also of lines
    operations: int
    values: int  # in variables
    introspection: bool
    suggestions: bool

    @classmethod
    def of(cls, settings: Settings) -> DocumentLimits:
        """Read the limits from the settings."""
        size = DocumentSize(
            depth=settings.max_depth,
            roots=settings.max_root_fields,
            fields=settings.max_fields,
            aliases=settings.max_aliases,
            directives=settings.max_directives,
        )
        return cls(
            size,
            settings.max_tokens,
            settings.max_operations,
            settings.max_values,
            settings.introspection,
            settings.suggestions,
        )


class DocumentMeasure:
    """Measures the operations of a document."""

    def __init__(self, document: DocumentNode, most: DocumentSize) -> None:
        self._most = most
        parts = document.definitions
        self.operations = [part for part in parts if isinstance(part, OperationDefinitionNode)]
        self._fragments = {
            part.name.value: part for part in parts if isinstance(part, FragmentDefinitionNode)
        }
        self._fragment_sizes: dict[str, DocumentSize] = {}

    def find_excess(self, most_operations: int) -> str | None:
        """Describe the first limit that the document exceeds; None if it exceeds none."""
        if len(self.operations) > most_operations:
            return f"The document has more than {most_operations:,} operations"
        try:
            sizes = [self._definition_size(part) for part in self.operations]
            # Validation visits unused fragments, too.
            sizes += [replace(self._fragment_size(name, 0), roots=0) for name in self._fragments]
        except _NestedTooDeep:
            return f"The document is nested deeper than {self._most.depth:,} fields"
        most = asdict(self._most)
        found = [(name, n) for size in sizes for name, n in asdict(size).items() if n > most[name]]
        for name, _ in found:
            return f"An operation has more than {most[name]:,} {_LABELS.get(name, name)}"
        return None

    def fields_below(self, nodes: Iterable[FieldNode]) -> int:
        """Count the fields that are selected below some fields of a measured document."""
        return sum(self._selection_size(node.selection_set, 0).fields for node in nodes)

    def _definition_size(
        self, part: OperationDefinitionNode | FragmentDefinitionNode, nesting: int = 0
    ) -> DocumentSize:
        own = DocumentSize(directives=len(part.directives or ()))
        return own.combine(self._selection_size(part.selection_set, nesting + 1))

    def _selection_size(self, selections: SelectionSetNode | None, nesting: int) -> DocumentSize:
        if nesting > self._most.depth * _NESTING:  # each level is a recursive call
            raise _NestedTooDeep
        size = DocumentSize()
        for node in selections.selections if selections else ():
            size = size.combine(DocumentSize(directives=len(node.directives or ())))
            if isinstance(node, FieldNode):
                inner = self._selection_size(node.selection_set, nesting + 1)
                aliases = inner.aliases + (node.alias is not None)
                size = size.combine(
                    DocumentSize(inner.depth + 1, 1, inner.fields + 1, aliases, inner.directives)
                )
            elif isinstance(node, InlineFragmentNode):
                size = size.combine(self._selection_size(node.selection_set, nesting + 1))
            elif isinstance(node, FragmentSpreadNode):
                size = size.combine(self._fragment_size(node.name.value, nesting + 1))
        return size

    def _fragment_size(self, name: str, nesting: int) -> DocumentSize:
        if name not in self._fragment_sizes:
            # A fragment that spreads itself counts as empty here; validation refuses it.
            self._fragment_sizes[name] = DocumentSize()
            if fragment := self._fragments.get(name):
                self._fragment_sizes[name] = self._definition_size(fragment, nesting)
        return self._fragment_sizes[name]


class _NestedTooDeep(Exception):
    """The document is nested deeper than it is measured."""


def count_variable_names(text: str) -> Counter[str]:
    """Count how often a document names each variable."""
    return Counter(re.findall(r"\$(\w+)", text))


def weigh_variables(named: Counter[str], variables: dict[str, Any], most: int) -> float:
    """Count the values in variables, including those in lists and objects.

    Args:
        named: how often the document names each variable. A variable's weight is counted once per
            use, because each use coerces it again; its declaration does not count.
        variables: by name.
        most: the limit; the count may stop above it.
    """
    uses = [(value, named[name] - 1) for name, value in variables.items() if named[name]]
    return sum(_weigh(value, most) * times for value, times in uses)


def _weigh(value: Any, most: int) -> float:
    """Count the values within a value; 1,000 characters of text count as one more."""
    weight, left = 0.0, [value]
    while left and weight <= most:  # without recursion: JSON may be nested deeper than the stack
        held = left.pop()
        weight += 1
        if isinstance(held, str):
            weight += len(held) / _CHARACTERS
        elif isinstance(held, dict):
            left += held.values()
        elif isinstance(held, list):
            left += held
    return weight
