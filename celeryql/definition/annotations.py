"""Which types a task may take and return: those that a typed client can be given.

It reads annotations and says in plain words why one will not do; `definition.py` reads the rest of
a signature.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation

from celeryql.definition.json_values import SERIALIZATION_ERRORS, validate_json_values
from celeryql.errors import BadTaskDefinition

SCALARS = (bool, int, float, str, datetime, date, time, Decimal, UUID)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NAME_RULE = "must be ASCII letters, digits and underscores, a letter first"
_NO_MEMBERS = ("true", "false", "null")  # GraphQL keeps them for its own values


def canonical_name(name: str) -> str:
    """Reduce a name to what tells it from others in every way of writing: `do_it`, `doIt`."""
    return name.replace("_", "").casefold()


def check_names(task: str, what: str, names: list[str]) -> None:
    """Refuse names that GraphQL cannot have, or cannot tell apart.

    Raises:
        BadTaskDefinition: one is malformed, or two differ in case and underscores alone.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadTaskDefinition(task, f"{what} {name!r} is no GraphQL name: it {_NAME_RULE}")
        other = seen.setdefault(canonical_name(name), name)
        if other is not name:
            reason = f"{what} {name!r} differs from {other!r} in case and underscores alone"
            raise BadTaskDefinition(task, reason)


@dataclass(frozen=True)
class Place:
    """Where an annotation stands.

    Attributes:
        task: full name of the task.
        what: the parameter, the result, or a field of a model, in words.
        is_input: values come in here, for which GraphQL has no unions.
        within: the models around, outermost first.
    """

    task: str
    what: str
    is_input: bool
    within: tuple[type, ...] = ()

    def refuse(self, reason: str) -> BadTaskDefinition:
        """Say why what stands here will not do."""
        return BadTaskDefinition(self.task, f"{self.what} {reason}")

    def types(self, annotation: Any) -> Iterator[type]:
        """List the models and enums within an annotation, more than once if they recur.

        Raises:
            BadTaskDefinition: a type in it has no GraphQL form.
        """
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            yield from self.types(parts[0])
        elif origin in (typing.Union, types.UnionType):
            yield from self._union([part for part in parts if part is not types.NoneType])
        elif origin is list or (origin is tuple and parts[1:] == (...,)):
            yield from self.types(parts[0])
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from self._model(annotation)
        elif isinstance(annotation, type) and issubclass(annotation, Enum):
            yield self._enum(annotation)
        elif annotation not in SCALARS:
            shown = annotation.__name__ if isinstance(annotation, type) else annotation
            raise self.refuse(
                f"is `{shown}`, which has no GraphQL form: use a pydantic model, a list of one "
                "type, an enum or a scalar"
            )

    def _union(self, parts: list[Any]) -> Iterator[type]:
        are_models = all(isinstance(p, type) and issubclass(p, BaseModel) for p in parts)
        if len(parts) > 1 and (self.is_input or not are_models):
            shown = " | ".join(getattr(part, "__name__", str(part)) for part in parts)
            alternatives = "" if self.is_input else ", or models alone"
            raise self.refuse(
                f"is `{shown}`, which has no GraphQL form: use one type{alternatives}"
            )
        for part in parts:
            yield from self.types(part)

    def _model(self, model: type[BaseModel]) -> Iterator[type]:
        if model in self.within:
            raise self.refuse(f"leads back to {model.__name__}: a model cannot contain itself")
        if issubclass(model, RootModel):
            raise self.refuse(f"is {model.__name__}, a RootModel: use what it wraps")
        check_names(self.task, "the model", [model.__name__])
        try:
            model.model_rebuild()  # where it named another before that was there
        except PydanticUndefinedAnnotation as error:
            raise self.refuse(
                f"is {model.__name__}, which names {error.name!r}, and that is not defined"
            ) from error
        if not model.model_fields:
            raise self.refuse(f"is {model.__name__}, which has no field")
        check_names(self.task, f"{model.__name__}'s field", list(model.model_fields))
        yield model
        for name, field in model.model_fields.items():
            what = f"field {name!r} of {model.__name__}"
            inner = Place(self.task, what, self.is_input, (*self.within, model))
            if field.exclude or (field.exclude_if and field.is_required()):
                raise inner.refuse("has `exclude`, so that its value would be lost: leave that out")
            if isinstance(field.default, float) and not isfinite(field.default):
                raise inner.refuse("has a default that JSON has no form for")
            yield from inner.types(field.annotation)

    def _enum(self, enum: type[Enum]) -> type[Enum]:
        members = list(enum.__members__)
        if not members:
            raise self.refuse(f"is {enum.__name__}, which has no member")
        for name in (enum.__name__, *members):
            if not _NAME.fullmatch(name) or name in _NO_MEMBERS:
                raise self.refuse(f"is an enum with the name {name!r}: it {_NAME_RULE}")
        for member in enum:
            if not _is_read_back(member):
                raise self.refuse(
                    f"is an enum whose member {member.name} cannot be read back from the JSON that "
                    f"pydantic writes of {member.value!r}: give it a string or a whole number"
                )
        return enum


def _is_read_back(member: Enum) -> bool:
    values = TypeAdapter(type(member))
    try:
        return validate_json_values(values, values.dump_python(member, mode="json")) is member
    except (ValidationError, *SERIALIZATION_ERRORS):
        return False
