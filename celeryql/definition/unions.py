"""Which class of a union each model in a result is of: its JSON may fit several."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel

#: Celery's meta of a result has the names under this, beside the result itself.
CLASSES = "result_classes"


def classes_in(annotation: Any, value: Any) -> Iterator[str]:
    """Name the class of each model that stands for a union, outer ones first, in their order.

    Args:
        annotation: of the result.
        value: of that type.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if value is None or not has_unions(annotation):
        return
    if origin is Annotated:
        yield from classes_in(parts[0], value)
    elif origin in (typing.Union, types.UnionType):
        models = members_of(parts)
        exact = [model for model in models if type(value) is model]
        (model, *_) = exact or [m for m in models if isinstance(value, m)] or models
        if len(models) > 1:
            yield model.__name__
        yield from classes_in(model, value)
    elif origin in (list, tuple):
        for item in value:
            yield from classes_in(parts[0], item)
    else:
        for name, field in annotation.model_fields.items():
            yield from classes_in(field.annotation, getattr(value, name, None))


def has_unions(annotation: Any) -> bool:
    """Tell whether a union of several models stands anywhere within."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model_has_unions(annotation)
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    is_union = origin in (typing.Union, types.UnionType)
    return (is_union and len(members_of(parts)) > 1) or any(map(has_unions, parts))


@cache
def _model_has_unions(model: type[BaseModel]) -> bool:
    return any(has_unions(field.annotation) for field in model.model_fields.values())


def members_of(parts: tuple[Any, ...]) -> list[Any]:
    """List the parts of a union but None."""
    return [part for part in parts if part is not types.NoneType]
