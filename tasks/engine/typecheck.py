"""Whether a value of one annotation can stand where another is wanted, and how to name both."""

from __future__ import annotations

import types
import typing
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel

_LISTS = (list, tuple)


def fits(offered: Any, wanted: Any) -> bool:
    """Tell whether each value of one annotation is also one of the other, once it was JSON."""
    offered, wanted = _bare(offered), _bare(wanted)
    if wanted is Any or offered == wanted:
        return True
    if _is_union(offered):
        return all(fits(member, wanted) for member in typing.get_args(offered))
    if _is_union(wanted):
        return any(fits(offered, member) for member in typing.get_args(wanted))
    if _is_list(offered) and _is_list(wanted):
        return fits(_item(offered), _item(wanted))
    if offered is int and wanted is float:
        return True
    same_kind = isinstance(offered, type) and isinstance(wanted, type)
    return same_kind and issubclass(offered, wanted) and issubclass(wanted, BaseModel | Enum | str)


def name_of(annotation: Any) -> str:
    """Name an annotation as its author would, limits left out."""
    annotation = _bare(annotation)
    parts = typing.get_args(annotation)
    if _is_union(annotation):
        return " | ".join(dict.fromkeys(name_of(part) for part in parts))
    if _is_list(annotation) and parts:
        return f"list[{name_of(parts[0])}]"
    if annotation is types.NoneType:
        return "None"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _bare(annotation: Any) -> Any:
    is_annotated = typing.get_origin(annotation) is Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _is_list(annotation: Any) -> bool:
    return annotation in _LISTS or typing.get_origin(annotation) in _LISTS


def _item(annotation: Any) -> Any:
    return next(iter(typing.get_args(annotation)), Any)
