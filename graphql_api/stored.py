"""How a task's stored input and result become values of the schema's types.

Another release may have stored them. A value that does not fit the types of this release costs its
own field: null, with an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from graphql_api.codes import ApiError, Code
from tasks.engine.errors import problems_of

T = TypeVar("T")

_PROBLEMS_SHOWN = 3


def as_typed(read: Callable[[Any], T], value: Any, task: str, field: str) -> T:
    """Give a stored value the type that its field has in this release.

    Args:
        read: validates the value.
        value: JSON values, as they were stored.
        task: the name of the task definition.
        field: `input` or `result`.

    Raises:
        ApiError: the value is not of that type.
    """
    try:
        return read(value)
    except ValidationError as error:
        problems = "; ".join(map(str, problems_of(error, (field,))[:_PROBLEMS_SHOWN]))
        text = (
            f"The {field} was stored by another release of {task!r} and does not fit its types in "
            f"this release ({problems}). Restore what the types lost, or read it with that release."
        )
        raise ApiError(text, Code.STORED_BY_ANOTHER_RELEASE) from error
