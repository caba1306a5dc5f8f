"""Which class each model of a union in a result has: its JSON may fit several of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel

#: Key of the class names in Celery's result meta.
RESULT_CLASSES = "result_classes"


def union_class_names(annotation: Any, value: Any) -> Iterator[str]:
    """Yield the class name of each model that stands for a union, outer ones first.

    Args:
        annotation: the return type of the task.
        value: the result.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if value is None or not has_unions(annotation):
        return
    if origin is Annotated:
        yield from union_class_names(parts[0], value)
    elif origin in (typing.Union, types.UnionType):
        models = union_members(parts)
        exact = [model for model in models if type(value) is model]
        (model, *_) = exact or [m for m in models if isinstance(value, m)] or models
        if len(models) > 1:
            yield model.__name__
        yield from union_class_names(model, value)
    elif origin in (list, tuple):
        for item in value:
            yield from union_class_names(parts[0], item)
    else:
        for name, field in annotation.model_fields.items():
            yield from union_class_names(field.annotation, getattr(value, name, None))


def has_unions(annotation: Any) -> bool:
    """Return whether an annotation contains a union of several models."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model_has_unions(annotation)
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    is_union = origin in (typing.Union, types.UnionType)
    return (is_union and len(union_members(parts)) > 1) or any(map(has_unions, parts))


@cache
def _model_has_unions(model: type[BaseModel]) -> bool:
    return any(has_unions(field.annotation) for field in model.model_fields.values())


def union_members(parts: tuple[Any, ...]) -> list[Any]:
    """Return the members of a union except None."""
    return [part for part in parts if part is not types.NoneType]
