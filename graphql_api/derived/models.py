"""The GraphQL types of pydantic models: a clone of each model for each role in the schema.

Strawberry can decorate a model only once, and GraphQL inputs cannot contain output types. So each
role gets a clone: `AddInput` is validated, `AddArguments` shows the input of a task, and all fields
of `AddStepInput` are optional.
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
    """The role of a clone. The value is the suffix of its GraphQL name."""

    INPUT = "Input"
    ARGUMENTS = "Arguments"
    STEP = "StepInput"
    RESULT = ""


# Only the arguments themselves are optional, not the fields of models inside of them.
_NESTED = {Role.STEP: Role.INPUT, Role.ARGUMENTS: Role.RESULT}
_UNCHECKED = ConfigDict(protected_namespaces=())  # the task's own model validates the values
_CONFIG = {Role.STEP: _UNCHECKED, Role.ARGUMENTS: STORED_CONFIG, Role.RESULT: STORED_CONFIG}
#: Values that another release stored may not fit these types.
_READABLE = {
    int: Annotated[int, Field(ge=-(2**31), lt=2**31)],
    BigInt: Annotated[BigInt, Field(ge=-INT_MAX, le=INT_MAX)],
    float: Annotated[float, Field(allow_inf_nan=False)],
}
_INPUT_ROLES = (Role.INPUT, Role.STEP)
_INT32 = 2**31
_LIMITS = {
    "min_length": "minimum length {}",
    "max_length": "maximum length {}",
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "pattern": "matches {}",
}


class DerivedModels:
    """Creates the clones of models and keeps them, one for each role."""

    def __init__(self, names: SchemaNames) -> None:
        self.names = names
        self._derived: dict[tuple[type, Role], Any] = {}
        self._enums: set[type] = set()

    def replace_models(self, annotation: Any, role: Role, limits: Limits = ()) -> Any:
        """Replace the models in an annotation by their clones."""
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            inner = self.replace_models(parts[0], role, limits + parts[1:])
            # Only inputs have limits. A step is checked with its task's own model, because an error
            # here would refuse the whole operation and report a single problem.
            return Annotated[(inner, *parts[1:])] if role is Role.INPUT else inner
        if origin in (typing.Union, types.UnionType):
            clones = [self.replace_models(part, role, limits) for part in parts]
            is_tagged_union = role is Role.RESULT and len(union_members(parts)) > 1
            return _tagged_union(parts, clones) if is_tagged_union else reduce(or_, clones)
        if origin is list or (origin is tuple and parts[1:] == (...,)):
            return list[self.replace_models(parts[0], role)]  # type: ignore[misc]  # evaluated at run time
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            text = (annotation.__doc__ or annotation.__name__).strip()
            return self.derive(annotation, _NESTED.get(role, role), annotation.__name__, text)
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return self._described_enum(annotation)
        return _scalar(annotation, role, limits)  # the engine refuses all other types

    def derive(
        self, model: Any, role: Role, name: str, text: str, hidden: frozenset[str] = frozenset()
    ) -> Any:
        """Return the clone of a model for a role, or None if it has no fields."""
        fields: dict[str, Any] = {}
        if (model, role) not in self._derived:
            for field_name, info in model.model_fields.items():
                if field_name not in hidden:
                    fields[field_name] = self._field(field_name, info, role)
            self.names.reserve(f"{name}{role}", model)
            base: Any = model if role is Role.INPUT else None
            config = None if base else _CONFIG[role]
            clone = create_model(
                f"{name}{role}", __base__=base, __config__=config, __cls_kwargs__=DEFERRED, **fields
            )
            is_input = role in _INPUT_ROLES
            decorate: Any = strawberry.pydantic.input if is_input else strawberry.pydantic.type
            self._derived[model, role] = decorate(clone, description=text) if fields else None
        return self._derived[model, role]

    def _field(self, name: str, info: FieldInfo, role: Role) -> tuple[Any, FieldInfo]:
        field = copy.copy(info)
        field.description = _description(name, info)
        limits = tuple(info.metadata)
        if role in _INPUT_ROLES and isinstance(info.default, int):
            # The type must hold the default, too.
            limits += (Field(ge=-abs(info.default), le=abs(info.default)),)
        annotation = self.replace_models(info.annotation, role, limits)
        if role is not Role.INPUT:
            _read_as_stored(field)
        if role is Role.STEP:
            field.default, field.default_factory = None, None
            annotation = maybe(annotation)
        elif role is Role.ARGUMENTS:
            field.default, field.default_factory = None, None
            annotation = annotation | None
        field.annotation = annotation
        return annotation, field

    def _described_enum(self, enum: type[Enum]) -> type[Enum]:
        if enum not in self._enums:
            self._enums.add(enum)
            self.names.reserve(enum.__name__, enum)
            decorators.enum(enum)
        return enum


def _tagged_union(parts: Sequence[Any], clones: Sequence[Any]) -> Any:
    """Make a union that reads stored values by the class names in the context, if there are any.

    `celeryql/definition/unions.py` stores these names.
    """
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
        if role in _INPUT_ROLES:  # an `Int`, unless the limits of the task need more
            low, high = (limit if isfinite(limit) else 0 for limit in (low, high))
        scalar = int if low >= -_INT32 and high < _INT32 else BigInt
    return scalar if role in _INPUT_ROLES else _READABLE.get(scalar, scalar)


def _read_as_stored(field: FieldInfo) -> None:
    """Make a field read what the engine stored: under its own name and without its limits."""
    field.alias = field.validation_alias = field.serialization_alias = field.alias_priority = None
    field.exclude_if, field.metadata = None, []


def maybe(annotation: Any) -> Any:
    """Make an input field optional, so that a missing value differs from null."""
    return strawberry.Maybe[annotation]  # type: ignore[misc]  # evaluated at run time


def _description(name: str, info: FieldInfo) -> str:
    text = info.description or f"The value of `{name}`"
    limits = [
        wording.format(getattr(limit, attribute))
        for limit in info.metadata
        for attribute, wording in _LIMITS.items()
        if getattr(limit, attribute, None) is not None
    ]
    suffix = f" ({', '.join(limits)})" if limits else ""
    return f"{text.rstrip('.')}{suffix}."
