"""The names of derived types in the schema, and the errors if two of them clash."""

from __future__ import annotations

import re
from collections.abc import Iterable

from celeryql.definition.arguments import TaskArguments
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition


class SchemaNames:
    """The names in use, each with the Python type that it is derived from.

    Names that belong to a task itself are owned by the model of its arguments.
    """

    def __init__(self, definitions: Iterable[TaskDefinition]) -> None:
        self._owners: dict[str, type] = {}
        self._tasks: dict[type, str] = {}  # the first task that uses a type
        for definition in definitions:
            for type_ in (definition.arguments, *definition.types):
                self._tasks.setdefault(type_, definition.task.name)

    def reserve(self, name: str, owner: type) -> None:
        """Reserve a name for a type.

        Raises:
            BadTaskDefinition: the name is reserved for another type.
        """
        holder = self._owners.setdefault(name, owner)
        if holder is not owner:
            both = f"{self._describe(owner)} and {self._describe(holder)}"
            reason = f"{both} would both be named {name} in the schema: rename one"
            raise BadTaskDefinition(self._tasks[owner], reason)

    def explain_duplicate(self, error: Exception) -> BadTaskDefinition | None:
        """Explain a duplicate name in the schema, or return None if no derived type has it."""
        for name in re.findall(r"\w+", str(error)):
            if owner := self._owners.get(name):
                clash = f"{self._describe(owner)} would be named {name}"
                reason = f"{clash}, as is a type of the schema: rename it"
                return BadTaskDefinition(self._tasks[owner], reason)
        return None

    def _describe(self, owner: type) -> str:
        if issubclass(owner, TaskArguments):
            return f"a type that is derived from {self._tasks[owner]}"
        return f"the type {owner.__module__}.{owner.__qualname__}"
