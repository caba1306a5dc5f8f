"""Who has which name in the schema, so that a clash is told as one of a task."""

from __future__ import annotations

import re
from collections.abc import Iterable

from celeryql.definition.arguments import TaskArguments
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition


class SchemaNames:
    """The names of what is derived, each with the Python type that it is derived from.

    What belongs to a task itself is owned by the model of its arguments.
    """

    def __init__(self, definitions: Iterable[TaskDefinition]) -> None:
        self._owners: dict[str, type] = {}
        self._tasks: dict[type, str] = {}  # the first task that uses a type
        for definition in definitions:
            for type_ in (definition.arguments, *definition.types):
                self._tasks.setdefault(type_, definition.task.name)

    def take(self, name: str, owner: type) -> None:
        """Give a name to what is derived from a type.

        Raises:
            BadTaskDefinition: what is derived from another type has it.
        """
        holder = self._owners.setdefault(name, owner)
        if holder is not owner:
            reason = f"{self._what(owner)} and {self._what(holder)} would both be named {name}"
            raise BadTaskDefinition(self._tasks[owner], f"{reason} in the schema: rename one")

    def refusal(self, error: Exception) -> BadTaskDefinition | None:
        """Blame a task for a schema that has a name twice; None where the name is not derived."""
        for name in re.findall(r"\w+", str(error)):
            if owner := self._owners.get(name):
                reason = f"{self._what(owner)} would be named {name}, as is a type of the schema"
                return BadTaskDefinition(self._tasks[owner], f"{reason}: rename it")
        return None

    def _what(self, owner: type) -> str:
        if issubclass(owner, TaskArguments):
            return f"what is derived from {self._tasks[owner]}"
        return f"the type {owner.__module__}.{owner.__qualname__}"
