"""Whether the values of one annotation are valid for another, and how errors name both."""

from __future__ import annotations

import types
import typing
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, PlainSerializer, WrapSerializer
from pydantic.fields import FieldInfo

_LISTS = (list, tuple)


def is_assignable(offered: Any, wanted: Any) -> bool:
    """Return whether each value of one annotation, sent as JSON, is valid for another.

    Limits are ignored: they depend on the value.
    """
    if wanted is Any or _has_serializer(offered):
        return wanted is Any or bool(offered == wanted)  # a custom serializer may write any JSON
    offered, wanted = _without_metadata(offered), _without_metadata(wanted)
    if _is_union(offered):
        return all(is_assignable(member, wanted) for member in typing.get_args(offered))
    if _is_union(wanted):
        return any(is_assignable(offered, member) for member in typing.get_args(wanted))
    if _is_list(offered) and _is_list(wanted):
        return is_assignable(_item(offered), _item(wanted))
    both_types = isinstance(offered, type) and isinstance(wanted, type)
    return both_types and _is_class_assignable(offered, wanted)


def _is_class_assignable(offered: type, wanted: type) -> bool:
    if issubclass(offered, BaseModel) and issubclass(offered, wanted):
        return _is_model_assignable(offered, wanted)
    is_text = issubclass(offered, Enum) and issubclass(offered, str) and wanted is str
    return offered is wanted or is_text or (offered is int and wanted is float)


def _is_model_assignable(offered: type[BaseModel], wanted: type[BaseModel]) -> bool:
    if forbidden_fields(offered, wanted) or _serializers(offered) != _serializers(wanted):
        return False
    return all(
        name in offered.model_fields
        and is_assignable(_field_annotation(offered.model_fields[name]), _field_annotation(field))
        for name, field in wanted.model_fields.items()
    )


def forbidden_fields(offered: Any, wanted: Any) -> set[str]:
    """Return the fields that one model writes and another forbids; empty for other types."""
    offered, wanted = _without_metadata(offered), _without_metadata(wanted)
    if not all(isinstance(t, type) and issubclass(t, BaseModel) for t in (offered, wanted)):
        return set()
    if wanted.model_config.get("extra") != "forbid":
        return set()
    extra = {"..."} if offered.model_config.get("extra") == "allow" else set()
    computed = set() if forbids_computed_fields(offered) else offered.model_computed_fields.keys()
    return set((offered.model_fields.keys() | computed | extra) - wanted.model_fields.keys())


def forbids_computed_fields(type_: type) -> bool:
    """Return whether a type is a model that forbids its own computed fields as input."""
    if not issubclass(type_, BaseModel):
        return False
    return type_.model_config.get("extra") == "forbid" and bool(type_.model_computed_fields)


def _serializers(model: type[BaseModel]) -> set[str]:
    decorators = model.__pydantic_decorators__
    return decorators.field_serializers.keys() | decorators.model_serializers.keys()


def _has_serializer(annotation: Any) -> bool:
    metadata = typing.get_args(annotation) if typing.get_origin(annotation) is Annotated else ()
    return any(isinstance(item, PlainSerializer | WrapSerializer) for item in metadata)


def _field_annotation(field: FieldInfo) -> Any:
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def type_name(annotation: Any) -> str:
    """Write an annotation as its author would, without limits."""
    annotation = _without_metadata(annotation)
    parts = typing.get_args(annotation)
    if _is_union(annotation):
        return " | ".join(dict.fromkeys(type_name(part) for part in parts))
    if _is_list(annotation) and parts:
        return f"list[{type_name(parts[0])}]"
    if annotation is types.NoneType:
        return "None"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _without_metadata(annotation: Any) -> Any:
    is_annotated = typing.get_origin(annotation) is Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _is_list(annotation: Any) -> bool:
    return annotation in _LISTS or typing.get_origin(annotation) in _LISTS


def _item(annotation: Any) -> Any:
    return next(iter(typing.get_args(annotation)), Any)
