"""Makes example values of annotations, and checks with them that what is written can be read back.

The examples are the same each time. They keep the limits that annotations name, but know nothing of
validators: a type that accepts none of its examples is not checked.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import ceil, floor, isfinite
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from tasks.engine.errors import problems_of
from tasks.engine.json_form import READ, WRITTEN, read
from tasks.engine.numbers import Limits, range_of, value_of

_EXAMPLES = 4  # of each type
_ITEMS_MAX = 10  # of a list that has to be longer there is no example
_NOON = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC)
_SCALARS: dict[Any, tuple[Any, ...]] = {
    bool: (True, False),
    str: ("a", "Example 1", "a@example.org", "3"),
    datetime: (_NOON, _NOON.replace(tzinfo=None), _NOON + timedelta(days=40_000)),
    date: (_NOON.date(), date(1969, 7, 20)),
    time: (_NOON.time(), time(0, 0, tzinfo=UTC)),
    UUID: (UUID(int=1), UUID(int=2**128 - 1)),
}
_NUMBERS = (1, 0, 2, -7)


def examples(annotation: Any, limits: Limits = ()) -> list[Any]:
    """Make a few values of an annotation, models as dicts by field."""
    return [_example(annotation, limits, turn) for turn in range(_EXAMPLES)]


def _example(annotation: Any, limits: Limits, turn: int) -> Any:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _example(parts[0], limits + parts[1:], turn)
    if origin in (typing.Union, types.UnionType):
        return _example(parts[turn % len(parts)], limits, turn)
    if origin in (list, tuple):
        least, most = value_of(limits, "min_length") or 0, value_of(limits, "max_length")
        count = min(max(least, turn % 3), _ITEMS_MAX, _ITEMS_MAX if most is None else most)
        return origin(_example(parts[0], (), turn + i) for i in range(count))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()  # each has a value of its own
        return {name: _of_field(field, turn + i) for i, (name, field) in enumerate(fields)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        members = list(annotation)
        return members[turn % len(members)]
    return _scalar(annotation, limits, turn)


def _of_field(field: FieldInfo, turn: int) -> Any:
    if field.examples:
        return field.examples[turn % len(field.examples)]
    return _example(field.annotation, tuple(field.metadata), turn)


def _scalar(annotation: Any, limits: Limits, turn: int) -> Any:
    if annotation in (int, float, Decimal):
        return annotation(_number(annotation, limits, turn))
    values = _SCALARS.get(annotation, (None,))
    value = values[turn % len(values)]
    if annotation is str:
        value = value.ljust(min(value_of(limits, "min_length") or 0, 1_000), "x")
        value = value[: value_of(limits, "max_length")]
    return value


def _number(annotation: Any, limits: Limits, turn: int) -> Decimal:
    low, high = range_of(limits)
    step = Decimal(str(value_of(limits, "multiple_of") or (1 if annotation is int else 0.25)))
    if isfinite(low):
        return (ceil(Decimal(str(low)) / step) + turn) * step
    if isfinite(high):
        return (floor(Decimal(str(high)) / step) - turn) * step
    return _NUMBERS[turn % len(_NUMBERS)] * step


def written(adapter: TypeAdapter[Any], annotation: Any) -> list[Any]:
    """Write those examples of a type that it accepts as JSON values.

    Raises:
        ValueError: one cannot be written, or cannot be read back; it says why.
    """
    return [_written(adapter, value) for value in _accepted(adapter, annotation)]


def _accepted(adapter: TypeAdapter[Any], annotation: Any) -> Iterator[Any]:
    for example in examples(annotation):
        try:
            yield adapter.validate_python(example, strict=False, **READ)
        except Exception:  # noqa: BLE001, S112  # what its validators raise, may be anything
            continue


def _written(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        first = adapter.dump_python(value, mode="json", **WRITTEN)
        second = adapter.dump_python(read(adapter, first), mode="json", **WRITTEN)
    except ValidationError as error:
        raise ValueError(str(problems_of(error)[0])) from error
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if to_json(first) != to_json(second):
        raise ValueError("it is read as another value")
    return first
