"""Which numbers an annotation allows, by the limits in its metadata."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from math import inf
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

INT_MAX = 2**53 - 1  # larger JSON numbers lose digits in JavaScript and other clients
Limits = tuple[Any, ...]  # metadata of an annotation: `Field(...)`, `Gt(0)`


def flatten_limits(limits: Iterable[Any]) -> Iterator[Any]:
    """Yield each limit alone, including those inside `Field` and `Interval`."""
    for limit in limits:
        if isinstance(limit, FieldInfo):
            yield from flatten_limits(limit.metadata)
        elif isinstance(limit, Iterable) and not isinstance(limit, str):
            yield from flatten_limits(limit)
        else:
            yield limit


def limit_value(limits: Iterable[Any], *names: str) -> Any:
    """Return the value of the first limit with one of these names; None without one."""
    values = (getattr(limit, name, None) for limit in flatten_limits(limits) for name in names)
    return next((value for value in values if value is not None), None)


def number_range(limits: Iterable[Any], step: int = 0) -> tuple[float, float]:
    """Return the lowest and the highest number that limits allow.

    Args:
        limits: metadata of the annotation.
        step: distance from an excluded limit to the next number; 1 for integers.
    """
    limits = list(flatten_limits(limits))
    low, high = limit_value(limits, "ge"), limit_value(limits, "le")
    above, below = limit_value(limits, "gt"), limit_value(limits, "lt")
    if low is None:
        low = -inf if above is None else above + step
    if high is None:
        high = inf if below is None else below - step
    return low, high


def may_hold_unsafe_number(annotation: Any, limits: Limits = ()) -> bool:
    """Return whether an annotation allows a number that some clients cannot read."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return may_hold_unsafe_number(parts[0], limits + parts[1:])
    if origin in (typing.Union, types.UnionType):
        return any(may_hold_unsafe_number(part, limits) for part in parts)
    if origin in (list, tuple):
        return may_hold_unsafe_number(parts[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return annotation.model_config.get("extra") == "allow" or any(
            may_hold_unsafe_number(field.annotation, tuple(field.metadata)) for field in fields
        )
    low, high = number_range(limits)
    if annotation is float:
        return limit_value(limits, "allow_inf_nan") is not False and inf in (-low, high)
    return annotation is int and not -INT_MAX <= low <= high <= INT_MAX
