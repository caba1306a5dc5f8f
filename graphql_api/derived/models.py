"""Clones of pydantic models, one for each role that a model plays in the schema.

Strawberry can decorate a model only once, and an output cannot stand in an input, so each role gets
a clone: `AddInput` is validated, `AddArguments` shows what a task was given, `AddStepInput` leaves
everything optional.
"""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Sequence
from enum import Enum, StrEnum
from functools import reduce
from math import isfinite
from operator import or_
from typing import Annotated, Any

import strawberry
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WrapValidator, create_model
from pydantic.fields import FieldInfo

from celeryql.definition.number_limits import INT_MAX, Limits, number_range
from celeryql.definition.unions import union_members
from graphql_api.derived.names import SchemaNames
from graphql_api.execution.stored_values import DEFERRED, STORED_CONFIG
from graphql_api.types import decorators
from graphql_api.types.scalars import BigInt


class Role(StrEnum):
    """What a clone of a model is for; the value ends its GraphQL name."""

    INPUT = "Input"
    ARGUMENTS = "Arguments"
    STEP = "StepInput"
    RESULT = ""


# Only the arguments themselves can be left out or unknown, not what is inside of one.
_NESTED = {Role.STEP: Role.INPUT, Role.ARGUMENTS: Role.RESULT}
_UNCHECKED = ConfigDict(protected_namespaces=())  # the task's own model checks the values
_CONFIG = {Role.STEP: _UNCHECKED, Role.ARGUMENTS: STORED_CONFIG, Role.RESULT: STORED_CONFIG}
#: What another release has stored may not fit these.
_READABLE = {
    int: Annotated[int, Field(ge=-(2**31), lt=2**31)],
    BigInt: Annotated[BigInt, Field(ge=-INT_MAX, le=INT_MAX)],
    float: Annotated[float, Field(allow_inf_nan=False)],
}
_COMING_IN = (Role.INPUT, Role.STEP)
_INT32 = 2**31
_LIMITS = {
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "pattern": "matches {}",
}


class DerivedModels:
    """Makes and keeps the clones of models, one for each role."""

    def __init__(self, names: SchemaNames) -> None:
        self.names = names
        self._made: dict[tuple[type, Role], Any] = {}
        self._enums: set[type] = set()

    def annotation(self, annotation: Any, role: Role, limits: Limits = ()) -> Any:
        """Put the clones in place of the models within an annotation."""
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            inner = self.annotation(parts[0], role, limits + parts[1:])
            # Limits matter where values come in. Those of a step are checked with its task's own
            # model: here, one bad value would refuse the whole operation, with no word of the rest.
            return Annotated[(inner, *parts[1:])] if role is Role.INPUT else inner
        if origin in (typing.Union, types.UnionType):
            made = [self.annotation(part, role, limits) for part in parts]
            is_told_apart = role is Role.RESULT and len(union_members(parts)) > 1
            return _told_apart(parts, made) if is_told_apart else reduce(or_, made)
        if origin is list or (origin is tuple and parts[1:] == (...,)):
            return list[self.annotation(parts[0], role)]  # type: ignore[misc]  # made at run time
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            text = (annotation.__doc__ or annotation.__name__).strip()
            return self.of(annotation, _NESTED.get(role, role), annotation.__name__, text)
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return self._described(annotation)
        return _scalar(annotation, role, limits)  # the engine has refused all else

    def of(
        self, model: Any, role: Role, name: str, text: str, hidden: frozenset[str] = frozenset()
    ) -> Any:
        """Clone a model for a role and decorate the clone; None where no field is left."""
        fields: dict[str, Any] = {}
        if (model, role) not in self._made:
            for field_name, info in model.model_fields.items():
                if field_name not in hidden:
                    fields[field_name] = self._field(field_name, info, role)
            self.names.take(f"{name}{role}", model)
            base: Any = model if role is Role.INPUT else None
            config = None if base else _CONFIG[role]
            clone = create_model(
                f"{name}{role}", __base__=base, __config__=config, __cls_kwargs__=DEFERRED, **fields
            )
            is_input = role in _COMING_IN
            decorate: Any = strawberry.pydantic.input if is_input else strawberry.pydantic.type
            self._made[model, role] = decorate(clone, description=text) if fields else None
        return self._made[model, role]

    def _field(self, name: str, info: FieldInfo, role: Role) -> tuple[Any, FieldInfo]:
        field = copy.copy(info)
        field.description = _description(name, info)
        limits = tuple(info.metadata)
        if role in _COMING_IN and isinstance(info.default, int):
            limits += (Field(ge=-abs(info.default), le=abs(info.default)),)  # it says so, too
        annotation = self.annotation(info.annotation, role, limits)
        if role is not Role.INPUT:
            _read_plainly(field)
        if role is Role.STEP:
            field.default, field.default_factory = None, None
            annotation = maybe(annotation)
        elif role is Role.ARGUMENTS:
            field.default, field.default_factory = None, None
            annotation = annotation | None
        field.annotation = annotation
        return annotation, field

    def _described(self, enum: type[Enum]) -> type[Enum]:
        if enum not in self._enums:
            self._enums.add(enum)
            self.names.take(enum.__name__, enum)
            decorators.enum(enum)
        return enum


def _told_apart(parts: Sequence[Any], clones: Sequence[Any]) -> Any:
    """Have a union read by the names in the context, where there are any (`unions.classes_in`)."""
    by_name = {part.__name__: clone for part, clone in zip(parts, clones, strict=True)}

    def read(value: Any, handler: Any, info: ValidationInfo) -> Any:
        if value is None or info.context is None:
            return handler(value)
        clone = by_name.get(next(info.context, None))
        return clone.model_validate(value, context=info.context) if clone else handler(value)

    return Annotated[reduce(or_, clones), WrapValidator(read)]


def _scalar(scalar: Any, role: Role, limits: Limits) -> Any:
    if scalar is int:
        low, high = number_range(limits, step=1)
        if role in _COMING_IN:  # an `Int`, as in most APIs, unless the task says it takes more
            low, high = (limit if isfinite(limit) else 0 for limit in (low, high))
        scalar = int if low >= -_INT32 and high < _INT32 else BigInt
    return scalar if role in _COMING_IN else _READABLE.get(scalar, scalar)


def _read_plainly(field: FieldInfo) -> None:
    """Have a clone's field read what the engine has written, under its own name."""
    field.alias = field.validation_alias = field.serialization_alias = field.alias_priority = None
    field.exclude_if, field.metadata = None, []


def maybe(annotation: Any) -> Any:
    """Make a member that can be left out, and told from one that is null."""
    return strawberry.Maybe[annotation]  # type: ignore[misc]  # made at run time


def _description(name: str, info: FieldInfo) -> str:
    text = info.description or f"The value of `{name}`"
    limits = [
        wording.format(getattr(limit, attribute))
        for limit in info.metadata
        for attribute, wording in _LIMITS.items()
        if getattr(limit, attribute, None) is not None
    ]
    return f"{text.rstrip('.')}{': ' if limits else ''}{', '.join(limits)}."
