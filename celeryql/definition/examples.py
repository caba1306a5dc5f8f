"""Creates example values of annotations, and checks that they survive JSON.

Each value is dumped and read back, and must be equal to the original. The examples are the same at
each start. They respect the limits of an annotation but not its validators: a type that accepts
none of its examples is not checked.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Context, Decimal
from enum import Enum
from math import ceil, floor, isfinite
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from celeryql.definition.json_values import VALIDATE_OPTIONS, validate_json_values
from celeryql.definition.number_limits import Limits, limit_value, number_range
from celeryql.definition.unions import union_members
from celeryql.errors import Problem, problems_of

_EXAMPLES = 6  # of each type
_ITEMS_MAX = 10  # a list that must be longer has no example
_COUNTS = (0, 1, 2, _ITEMS_MAX)
_NOON = datetime(2024, 2, 29, 12, 30, 15, 123_456, tzinfo=UTC)
_ABROAD = timezone(timedelta(hours=5, minutes=30))
_TEXT = " Example 1: Words of a longer text,\n\twith äöü & 'quotes'. " * 20
# The values of a type differ in what a serializer may lose: length, case, time zone, precision.
_SCALARS: dict[Any, tuple[Any, ...]] = {
    bool: (True, False),
    str: (_TEXT, "a", "Ann.Example@mail.example.org", "3"),
    datetime: (
        _NOON.astimezone(_ABROAD),
        _NOON.replace(tzinfo=None),
        _NOON + timedelta(days=40_000),
    ),
    date: (_NOON.date(), date(1969, 7, 20)),
    time: (_NOON.time(), time(0, 0, tzinfo=UTC)),
    UUID: (UUID(int=1), UUID(int=2**128 - 1)),
}
_NUMBERS = (1, 0, 2, -7, 12_345, -98_765)
_FRACTION = Decimal("1.234567891")  # multiplied by a number above, a `float` keeps all digits
_PLACES = 9  # decimal places of `_FRACTION`
_WIDE = 10  # a range that contains several multiples of `_FRACTION`


def make_examples(annotation: Any, limits: Limits = ()) -> list[Any]:
    """Create a few values of an annotation; models are dicts by field name.

    If fields declare examples, half of the values use those.
    """
    maker = _ExampleMaker()
    values = [maker.make(annotation, limits, turn) for turn in range(_EXAMPLES)]
    if maker.has_used_declared:
        plain = _ExampleMaker(uses_declared=False)
        values += [plain.make(annotation, limits, turn) for turn in range(_EXAMPLES)]
    return values


@dataclass
class _ExampleMaker:
    """Creates values.

    Attributes:
        uses_declared: fields that declare examples get one of those.
        has_used_declared: a field had one.
    """

    uses_declared: bool = True
    has_used_declared: bool = False

    def make(self, annotation: Any, limits: Limits, turn: int) -> Any:
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            return self.make(parts[0], limits + parts[1:], turn)
        if origin in (typing.Union, types.UnionType):
            return self.make(_member(parts, turn), limits, turn)
        if origin in (list, tuple):
            return origin(self.make(parts[0], (), turn + i) for i in range(_count(limits, turn)))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields.items()  # a different turn for each
            return {name: self._field(field, turn + i) for i, (name, field) in enumerate(fields)}
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            members = list(annotation)
            return members[turn % len(members)]
        return _scalar(annotation, limits, turn)

    def _field(self, field: FieldInfo, turn: int) -> Any:
        if self.uses_declared and field.examples:
            self.has_used_declared = True
            return field.examples[turn % len(field.examples)]
        return self.make(field.annotation, tuple(field.metadata), turn)


def _member(parts: tuple[Any, ...], turn: int) -> Any:
    members = union_members(parts)
    is_none = len(members) < len(parts) and turn % _EXAMPLES == _EXAMPLES - 1
    return types.NoneType if is_none else members[turn % len(members)]


def _count(limits: Limits, turn: int) -> int:
    least, most = limit_value(limits, "min_length") or 0, limit_value(limits, "max_length")
    wanted = max(least, _COUNTS[turn % len(_COUNTS)])
    return min(wanted, _ITEMS_MAX, _ITEMS_MAX if most is None else most)


def _scalar(annotation: Any, limits: Limits, turn: int) -> Any:
    if annotation in (int, float, Decimal):
        return annotation(_number(annotation, limits, turn))
    values = _SCALARS.get(annotation, (None,))
    value = values[turn % len(values)]
    if annotation is str:
        value = value.ljust(min(limit_value(limits, "min_length") or 0, 1_000), "x")
        value = value[: limit_value(limits, "max_length")]
    return value


def _number(annotation: Any, limits: Limits, turn: int) -> Decimal:
    low, high = number_range(limits, step=1 if annotation is int else 0)
    number, step = _NUMBERS[turn % len(_NUMBERS)], _step(annotation, limits, high - low)
    least = ceil(Decimal(str(low)) / step) if isfinite(low) else None
    most = floor(Decimal(str(high)) / step) if isfinite(high) else None
    if least is not None and most is not None:
        number = least + abs(number) % max(most - least + 1, 1)
    elif least is not None:
        number = least + abs(number)
    elif most is not None:
        number = most - abs(number)
    digits = limit_value(limits, "max_digits")
    return Context(prec=digits).multiply(number, step) if digits else number * step


def _step(annotation: Any, limits: Limits, width: float) -> Decimal:
    if given := limit_value(limits, "multiple_of"):
        return Decimal(str(given))
    if annotation is int:
        return Decimal(1)
    step = _FRACTION * Decimal(str(min(width, _WIDE))) / _WIDE
    places = limit_value(limits, "decimal_places")
    if places is not None:
        places = min(places, _PLACES)
        step = max(round(step, places), Decimal(1).scaleb(-places))
    return step or _FRACTION


def json_examples(adapter: TypeAdapter[Any], annotation: Any, options: dict[str, Any]) -> list[Any]:
    """Dump the examples that a type accepts to JSON values.

    Args:
        adapter: the adapter of `annotation`.
        annotation: the type.
        options: arguments for `dump_python`.

    Raises:
        ValueError: one cannot be dumped, or is read back as another value; it says where and why.
    """
    return [
        _dump_and_check(adapter, value, options) for value in _valid_examples(adapter, annotation)
    ]


def _valid_examples(adapter: TypeAdapter[Any], annotation: Any) -> Iterator[Any]:
    examples = make_examples(annotation)
    for turn, example in enumerate(examples):
        with suppress(Exception):  # its validators may raise anything
            yield _validate_or_mix(adapter, example, examples[turn + 1 :] + examples[:turn])


def _validate_or_mix(adapter: TypeAdapter[Any], example: Any, others: list[Any]) -> Any:
    """Validate an example; fields that are refused get their values from the other examples."""
    for other in others:
        try:
            return adapter.validate_python(example, strict=False, **VALIDATE_OPTIONS)
        except ValidationError as error:
            refused = {problem.path[0] for problem in problems_of(error) if problem.path}
            if not isinstance(example, dict) or not refused <= example.keys():
                break
            example = {**example, **{name: other[name] for name in refused}}
    return adapter.validate_python(example, strict=False, **VALIDATE_OPTIONS)


def _dump_and_check(adapter: TypeAdapter[Any], value: Any, options: dict[str, Any]) -> Any:
    try:
        json = adapter.dump_python(value, mode="json", **options)
        again = validate_json_values(adapter, json)
        place = _first_difference(value, again)
    except ValidationError as error:
        raise ValueError(str(problems_of(error)[0])) from error
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if place is not None:
        raise ValueError(str(Problem(place, "it is read as another value")))
    return json


def _first_difference(one: Any, other: Any) -> tuple[str, ...] | None:
    """Return the path at which two values differ; None if they are equal.

    Only the fields of models are compared, because only they are dumped.
    """
    if type(one) is not type(other):
        return ()
    if isinstance(one, BaseModel):
        pairs = [
            (name, getattr(one, name), getattr(other, name)) for name in type(one).model_fields
        ]
    elif isinstance(one, list | tuple) and len(one) == len(other):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else ()
    for name, *pair in pairs:
        if (place := _first_difference(*pair)) is not None:
            return (name, *place)
    return None
