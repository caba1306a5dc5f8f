"""The numbers that an annotation lets through, by the limits that stand beside them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from math import inf
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

INT_MAX = 2**53 - 1  # beyond it, JavaScript and others read a JSON number as another one
Limits = tuple[Any, ...]  # what stands beside a type: `Field(...)` and the like


def limits_in(limits: Iterable[Any]) -> Iterator[Any]:
    """Give each limit by itself: what `Field` and intervals hold of them, too."""
    for limit in limits:
        if isinstance(limit, FieldInfo):
            yield from limits_in(limit.metadata)
        elif isinstance(limit, Iterable) and not isinstance(limit, str):
            yield from limits_in(limit)
        else:
            yield limit


def value_of(limits: Iterable[Any], *names: str) -> Any:
    """Find the value of the first limit with one of these names; None where there is none."""
    values = (getattr(limit, name, None) for limit in limits_in(limits) for name in names)
    return next((value for value in values if value is not None), None)


def range_of(limits: Iterable[Any], step: int = 0) -> tuple[float, float]:
    """Give the lowest and the highest number that limits let through.

    Args:
        limits: what stands beside the type.
        step: how far the next number is from one that is excluded; 1 of integers.
    """
    limits = list(limits_in(limits))
    low, high = value_of(limits, "ge"), value_of(limits, "le")
    above, below = value_of(limits, "gt"), value_of(limits, "lt")
    if low is None:
        low = -inf if above is None else above + step
    if high is None:
        high = inf if below is None else below - step
    return low, high


def is_open(annotation: Any, limits: Limits = ()) -> bool:
    """Tell whether a number may stand within it that a client cannot read."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return is_open(parts[0], limits + parts[1:])
    if origin in (typing.Union, types.UnionType):
        return any(is_open(part, limits) for part in parts)
    if origin in (list, tuple):
        return is_open(parts[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return annotation.model_config.get("extra") == "allow" or any(
            is_open(field.annotation, tuple(field.metadata)) for field in fields
        )
    low, high = range_of(limits)
    if annotation is float:
        return value_of(limits, "allow_inf_nan") is not False and inf in (-low, high)
    return annotation is int and not -INT_MAX <= low <= high <= INT_MAX
