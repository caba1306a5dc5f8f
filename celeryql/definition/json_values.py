"""How typed values are written as JSON and read back, and which JSON every client can read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from celeryql.definition.number_limits import INT_MAX

#: Fields are written under their names, not their aliases, and computed fields are left out.
DUMP_OPTIONS: Any = {"by_alias": False, "round_trip": True}
#: Results include computed fields, for plain Celery callers.
DUMP_WITH_COMPUTED: Any = {"by_alias": False}
#: Plain Celery callers may use aliases too.
VALIDATE_OPTIONS: Any = {"by_alias": True, "by_name": True}

#: What pydantic raises for a value that JSON cannot hold: a lone surrogate, an arbitrary object.
SERIALIZATION_ERRORS = (UnicodeEncodeError, PydanticSerializationError)

_TOO_LARGE = f"an integer beyond ±{INT_MAX}, which JSON clients round to another one: use a string"
_NOT_FINITE = "infinite or not a number, which JSON cannot hold"


def validate_json_values(adapter: TypeAdapter[Any], values: Any, **options: Any) -> Any:
    """Validate JSON values, also with models in strict mode.

    Raises:
        ValidationError: they are not of the type.
    """
    try:
        return adapter.validate_python(values, **VALIDATE_OPTIONS, **options)
    except ValidationError as error:
        try:
            text = to_json(values, **DUMP_OPTIONS)
        except SERIALIZATION_ERRORS:
            raise error from None
    # A strict model accepts a date in JSON text, but not the same string in Python.
    return adapter.validate_json(text, **VALIDATE_OPTIONS, **options)


@dataclass(frozen=True, slots=True)
class UnreadableValue:
    """A value that some clients cannot read.

    Attributes:
        path: its position, as field names and indexes.
        reason: what it is; errors put it after "is".
    """

    path: tuple[str | int, ...]
    reason: str

    def __str__(self) -> str:
        return f"{format_path(self.path) or 'the value'} is {self.reason}"


def format_path(path: Iterable[str | int]) -> str:
    """Format a path as code: `rows[3].size`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(
        "."
    )


def find_unreadable(values: Any) -> UnreadableValue | None:
    """Find the first value that some clients cannot read; None if there is none.

    Args:
        values: JSON values.

    Raises:
        PydanticSerializationError: a text is not Unicode.
    """
    to_json(values)
    if found := _find({"": values}):
        (_, *path), reason = found
        return UnreadableValue(tuple(path), reason)
    return None


def _find(values: dict[str, Any] | list[Any]) -> tuple[tuple[Any, ...], str] | None:
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, str):
            continue
        if isinstance(value, float):
            if not isfinite(value):
                return (key,), _NOT_FINITE
        elif isinstance(value, int):
            if not -INT_MAX <= value <= INT_MAX:
                return (key,), _TOO_LARGE
        elif value and (found := _find(value)):
            return (key, *found[0]), found[1]
    return None
