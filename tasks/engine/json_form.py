"""How typed values are written as JSON and read back, and which JSON every client can read."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from tasks.engine.numbers import INT_MAX

#: Fields have the names of the code, never their aliases, and nothing is written that is computed.
WRITTEN: Any = {"by_alias": False, "round_trip": True}
#: What is computed is written for plain callers, of results that allow it.
COMPUTED: Any = {"by_alias": False}
#: Plain Celery callers may use aliases as well.
READ: Any = {"by_alias": True, "by_name": True}

#: What pydantic raises for values that cannot be written: lone surrogates, objects of any class.
NOT_JSON = (UnicodeEncodeError, PydanticSerializationError)

_TOO_LARGE = f"an integer beyond ±{INT_MAX}, which JSON clients read as another: use a string"
_NOT_FINITE = "infinite or not a number, which has no JSON form"


def read(adapter: TypeAdapter[Any], values: Any, **options: Any) -> Any:
    """Read JSON values as a type.

    Raises:
        ValidationError: they are not of the type.
    """
    try:
        return adapter.validate_python(values, **READ, **options)
    except ValidationError as error:
        try:
            text = to_json(values, **WRITTEN)
        except NOT_JSON:
            raise error from None
    # A strict model takes a date from JSON text, but not from the same string in Python.
    return adapter.validate_json(text, **READ, **options)


def unreadable(values: Any) -> str | None:
    """Say which of some JSON values a client could not read, and why; None where it can all.

    Raises:
        PydanticSerializationError: a text is not Unicode.
    """
    to_json(values)
    if found := _find({"": values}):
        place, problem = found
        return f"{'.'.join(map(str, place[1:])) or 'the value'} is {problem}"
    return None


def _find(values: dict[str, Any] | list[Any]) -> tuple[tuple[Any, ...], str] | None:
    for place, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, str):
            continue
        if isinstance(value, float):
            if not isfinite(value):
                return (place,), _NOT_FINITE
        elif isinstance(value, int):
            if not -INT_MAX <= value <= INT_MAX:
                return (place,), _TOO_LARGE
        elif value and (found := _find(value)):
            return (place, *found[0]), found[1]
    return None
