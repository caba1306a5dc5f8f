"""What a document comes to, told after one visit of each of its fragments.

Strawberry's own limiters walk a fragment each time it is spread, so that a document of 744 bytes
holds a process for seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

_NESTING = 4  # fragments and fields within each other, as a multiple of the depth that is allowed
_CHARACTERS = 1_000  # of text take about as long to check, to write and to send as one value
_NAMES = {"depth": "levels of fields", "roots": "fields to begin with"}


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


class Measure:
    """Tells what the operations of a document come to."""

    def __init__(self, document: DocumentNode, most: Size) -> None:
        self._most = most
        parts = document.definitions
        self.operations = [part for part in parts if isinstance(part, OperationDefinitionNode)]
        self._fragments = {
            part.name.value: part for part in parts if isinstance(part, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}

    def excess(self, operations: int) -> str | None:
        """Say what is too much, the first of it; None where nothing is.

        Args:
            operations: how many there may be.
        """
        if len(self.operations) > operations:
            return f"The document has more than {operations:,} operations"
        try:
            sizes = [self._of_definition(part) for part in self.operations]
            # What no operation spreads is validated, too.
            sizes += [replace(self._of_fragment(name, 0), roots=0) for name in self._fragments]
        except _NestedTooDeep:
            return f"The document is nested deeper than {self._most.depth:,} fields"
        most = asdict(self._most)
        found = [(name, n) for size in sizes for name, n in asdict(size).items() if n > most[name]]
        for name, _ in found:
            return f"An operation has more than {most[name]:,} {_NAMES.get(name, name)}"
        return None

    def fields_below(self, nodes: Iterable[FieldNode]) -> int:
        """Count the fields that are selected below a field; none may be nested too deep."""
        return sum(self._of(node.selection_set, 0).fields for node in nodes)

    def _of_definition(
        self, part: OperationDefinitionNode | FragmentDefinitionNode, nesting: int = 0
    ) -> Size:
        own = Size(directives=len(part.directives or ()))
        return own.beside(self._of(part.selection_set, nesting + 1))

    def _of(self, selections: SelectionSetNode | None, nesting: int) -> Size:
        if nesting > self._most.depth * _NESTING:  # a call of Python's each
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


def named_variables(text: str) -> Counter[str]:
    """Tell how often a document names each variable."""
    return Counter(re.findall(r"\$(\w+)", text))


def weigh_variables(named: Counter[str], variables: dict[str, Any], most: int) -> float:
    """Weigh what variables hand over, in lists and objects, too.

    Args:
        named: how often a document names each: a variable counts as often, its declaration aside,
            because each time inputs are made of it.
        variables: by name.
        most: the weight from which on it does not matter by how much there is too much.
    """
    uses = [(value, named[name] - 1) for name, value in variables.items() if named[name]]
    return sum(_weigh(value, most) * times for value, times in uses)


def _weigh(value: Any, most: int) -> float:
    """Count the values within a value, 1,000 characters of text as one more."""
    weight, left = 0.0, [value]
    while left and weight <= most:  # without recursion, for it may be nested as deep as JSON is
        held = left.pop()
        weight += 1
        if isinstance(held, str):
            weight += len(held) / _CHARACTERS
        elif isinstance(held, dict):
            left += held.values()
        elif isinstance(held, list):
            left += held
    return weight
