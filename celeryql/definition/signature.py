"""Reads the signature of a task's function, and refuses what GraphQL or JSON cannot express.

Every refusal is a `BadTaskDefinition` that says what is wrong and what to write instead. The models
that are built from a signature are in `task_definition.py`.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from types import NoneType
from typing import Annotated, Any
from uuid import UUID

from celery import Task
from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError, to_jsonable_python

from celeryql.definition.examples import json_examples
from celeryql.definition.json_values import (
    DUMP_OPTIONS,
    DUMP_WITH_COMPUTED,
    SERIALIZATION_ERRORS,
    find_unreadable,
    validate_json_values,
)
from celeryql.definition.type_compatibility import forbids_computed_fields
from celeryql.errors import BadTaskDefinition

SCALARS = (bool, int, float, str, datetime, date, time, Decimal, UUID)
# The schema derives names from a task's name, and already uses these for its own types.
RESERVED_NAMES = (
    *("batch", "batch_item", "canvas", "chord", "invalid", "start", "step", "step_task", "task"),
    *("create_token", "undefined", "workflow"),
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NAME_RULE = "use ASCII letters, digits and underscores, and begin with a letter"
_ENUM_KEYWORDS = ("true", "false", "null")  # values of GraphQL itself
# What pydantic raises for a type that it does not know, or for limits that do not suit a type.
_PYDANTIC_ERRORS = (PydanticUserError, SchemaError, TypeError)


def canonical_name(name: str) -> str:
    """Return a name without case and underscores: `do_it` and `doIt` are one name in GraphQL."""
    return name.replace("_", "").casefold()


def check_names(task: str, what: str, names: list[str]) -> None:
    """Check that names are valid in GraphQL, and distinct there.

    Raises:
        BadTaskDefinition: one is malformed, or two differ only in case and underscores.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadTaskDefinition(task, f"{what} {name!r} is not a GraphQL name: {_NAME_RULE}")
        other = seen.setdefault(canonical_name(name), name)
        if other is not name:
            reason = f"{what} {name!r} differs from {other!r} only in case and underscores"
            raise BadTaskDefinition(task, f"{reason}: rename one")


def task_name(task: Task) -> str:
    """Return the last part of a task's full name.

    Raises:
        BadTaskDefinition: it is not a GraphQL name, or the schema reserves it.
    """
    name: str = task.name.rpartition(".")[2]
    check_names(task.name, "its name", [name])
    if canonical_name(name) in map(canonical_name, RESERVED_NAMES):
        raise BadTaskDefinition(task.name, f"the schema reserves the name {name!r}: rename it")
    return name


def task_description(task: Task) -> str:
    """Return the docstring of the function.

    Raises:
        BadTaskDefinition: there is none.
    """
    description = inspect.cleandoc(task.run.__doc__ or "")
    if not description:
        raise BadTaskDefinition(task.name, "it has no docstring: write one to describe it")
    return description


def resolved_annotations(task: Task) -> dict[str, Any]:
    """Return the annotations of the function by parameter, and its return type as `return`.

    Raises:
        BadTaskDefinition: one is missing, or refers to a name that does not exist at run time.
    """
    if inspect.iscoroutinefunction(task.run):
        raise BadTaskDefinition(
            task.name, "Celery workers do not await an async function: write `def`"
        )
    try:
        hints = typing.get_type_hints(task.run, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise BadTaskDefinition(
            task.name, f"an annotation cannot be resolved ({error}): import what it names"
        ) from error
    names = list(inspect.signature(task.run).parameters)  # without the `self` of a bound task
    for name in names:
        if name not in hints:
            raise BadTaskDefinition(task.name, f"parameter {name!r} is not annotated")
    if "return" not in hints:
        raise BadTaskDefinition(task.name, "its return type is not annotated")
    return {name: hints[name] for name in (*names, "return")}


def pydantic_fields(task: Task, hints: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the parameters as fields for `create_model`: annotation and default by name.

    Raises:
        BadTaskDefinition: a parameter's kind, name, limits or default cannot be used.
    """
    return {p.name: _field(task.name, p, hints) for p in _parameters(task)}


def _parameters(task: Task) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(task.run).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(parameter.name.startswith("_") for parameter in parameters):
        raise BadTaskDefinition(task.name, "a parameter's name begins with an underscore")
    if any(parameter.kind not in named for parameter in parameters):
        raise BadTaskDefinition(
            task.name, "*args, **kwargs and positional-only parameters have no GraphQL form"
        )
    check_names(task.name, "parameter", [parameter.name for parameter in parameters])
    for parameter in parameters:
        if hasattr(BaseModel, parameter.name):
            raise BadTaskDefinition(
                task.name, f"pydantic reserves the name of parameter {parameter.name!r}: rename it"
            )
    return parameters


def _field(task: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> tuple[Any, Any]:
    what, annotation = f"parameter {parameter.name!r}", hints[parameter.name]
    values = make_adapter(task, what, annotation)
    if parameter.default is inspect.Parameter.empty:
        return annotation, ...
    try:
        values.validate_python(parameter.default)
    except ValidationError as error:
        raise BadTaskDefinition(task, f"the default of {what} is not of its type") from error
    if problem := find_unreadable(to_jsonable_python(parameter.default)):
        raise BadTaskDefinition(task, f"the default of {what}: {problem}")
    return annotation, parameter.default


def make_adapter(task: str, what: str, annotation: Any) -> TypeAdapter[Any]:
    """Create the pydantic adapter of an annotation.

    Raises:
        BadTaskDefinition: pydantic cannot create it.
    """
    try:
        return TypeAdapter(annotation)
    except _PYDANTIC_ERRORS as error:
        reason = str(error).partition("\n")[0]
        raise BadTaskDefinition(task, f"pydantic refuses {what}: {reason}") from error


def models_and_enums(task: str, hints: dict[str, Any]) -> Iterator[type]:
    """List the models and enums in the annotations of arguments and result.

    Raises:
        BadTaskDefinition: a type has no GraphQL form.
    """
    for name, annotation in hints.items():
        if name != "return":
            yield from _TypeCollector(task, f"parameter {name!r}", is_input=True).types(annotation)
        elif annotation is not NoneType:
            yield from _TypeCollector(task, "the result", is_input=False).types(annotation)


@dataclass(frozen=True)
class _TypeCollector:
    """Collects the models and enums of one annotation, and refuses types without a GraphQL form.

    Attributes:
        task: full name of the task.
        what: the parameter, the result or the field of a model, as errors name it.
        is_input: the annotation is of an argument; GraphQL has no unions there.
        within: the models around the annotation, outermost first.
    """

    task: str
    what: str
    is_input: bool
    within: tuple[type, ...] = ()

    def types(self, annotation: Any) -> Iterator[type]:
        """List the models and enums within an annotation; one that recurs is listed again.

        Raises:
            BadTaskDefinition: a type in it has no GraphQL form.
        """
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            yield from self.types(parts[0])
        elif origin in (typing.Union, types.UnionType):
            yield from self._union([part for part in parts if part is not NoneType])
        elif origin is list or (origin is tuple and parts[1:] == (...,)):
            yield from self.types(parts[0])
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from self._model(annotation)
        elif isinstance(annotation, type) and issubclass(annotation, Enum):
            yield self._enum(annotation)
        elif annotation not in SCALARS:
            shown = annotation.__name__ if isinstance(annotation, type) else annotation
            raise self._refusal(
                f"is `{shown}`, which has no GraphQL form: use a pydantic model, a list of one "
                "type, an enum or a scalar"
            )

    def _refusal(self, reason: str) -> BadTaskDefinition:
        return BadTaskDefinition(self.task, f"{self.what} {reason}")

    def _union(self, parts: list[Any]) -> Iterator[type]:
        are_models = all(isinstance(p, type) and issubclass(p, BaseModel) for p in parts)
        if len(parts) > 1 and (self.is_input or not are_models):
            shown = " | ".join(getattr(part, "__name__", str(part)) for part in parts)
            alternatives = "" if self.is_input else ", or only models"
            raise self._refusal(
                f"is `{shown}`, which has no GraphQL form: use one type{alternatives}"
            )
        for part in parts:
            yield from self.types(part)

    def _model(self, model: type[BaseModel]) -> Iterator[type]:
        self._check_model(model)
        yield model
        for name, field in model.model_fields.items():
            what = f"field {name!r} of {model.__name__}"
            inner = _TypeCollector(self.task, what, self.is_input, (*self.within, model))
            inner.check_field(field)
            yield from inner.types(field.annotation)

    def _check_model(self, model: type[BaseModel]) -> None:
        if model in self.within:
            raise self._refusal(f"refers back to {model.__name__}: a model cannot contain itself")
        if issubclass(model, RootModel):
            raise self._refusal(f"is {model.__name__}, a RootModel: use the type that it wraps")
        check_names(self.task, "the model", [model.__name__])
        try:
            model.model_rebuild()  # resolves names that were not defined before the model
        except PydanticUndefinedAnnotation as error:
            raise self._refusal(
                f"is {model.__name__}, which refers to {error.name!r}: that is not defined"
            ) from error
        if not model.model_fields:
            raise self._refusal(f"is {model.__name__}, which has no field")
        check_names(self.task, f"{model.__name__}'s field", list(model.model_fields))

    def check_field(self, field: FieldInfo) -> None:
        """Refuse a field whose value or default JSON would lose."""
        if field.exclude or (field.exclude_if and field.is_required()):
            raise self._refusal("has `exclude`, which loses its value: remove it")
        if isinstance(field.default, float) and not isfinite(field.default):
            raise self._refusal("has a default that JSON cannot express")

    def _enum(self, enum: type[Enum]) -> type[Enum]:
        members = list(enum.__members__)
        if not members:
            raise self._refusal(f"is {enum.__name__}, which has no member")
        for name in (enum.__name__, *members):
            if not _NAME.fullmatch(name) or name in _ENUM_KEYWORDS:
                keywords = ", ".join(_ENUM_KEYWORDS)
                rule = f"{_NAME_RULE}; {keywords} are reserved"
                raise self._refusal(f"is an enum with the name {name!r}: {rule}")
        for member in enum:
            if not _survives_json(member):
                raise self._refusal(
                    f"is an enum whose member {member.name} cannot be read back from the JSON that "
                    f"pydantic writes for {member.value!r}: use a string or an integer"
                )
        return enum


def _survives_json(member: Enum) -> bool:
    adapter = TypeAdapter(type(member))
    try:
        return validate_json_values(adapter, adapter.dump_python(member, mode="json")) is member
    except (ValidationError, *SERIALIZATION_ERRORS):
        return False


@dataclass(frozen=True)
class JsonExamples:
    """Examples of what a task stores, as JSON values; empty where validators refuse all of them."""

    arguments: list[Any]
    results: list[Any]


def check_json_round_trip(
    task: str, arguments: type[BaseModel], hints: dict[str, Any]
) -> JsonExamples:
    """Check that arguments and results can be read back from the JSON that pydantic writes.

    Returns:
        The examples of the arguments and of the result that it was checked with.

    Raises:
        BadTaskDefinition: a value cannot be read back.
    """
    dump_result = result_dump_options(task, hints["return"])
    parameters = {name: hint for name, hint in hints.items() if name != "return"}
    models = dict.fromkeys(_models(task, parameters), DUMP_OPTIONS)
    # A model of both is checked as a result: computed fields, which arguments lack, can fail too.
    models |= dict.fromkeys(_models(task, {"return": hints["return"]}), dump_result)
    for model, options in models.items():
        _examples(task, model.__name__, model, options)
    return JsonExamples(
        _examples(task, "its arguments", arguments, DUMP_OPTIONS),
        _examples(task, "the result", hints["return"], dump_result),
    )


def _models(task: str, hints: dict[str, Any]) -> list[type[BaseModel]]:
    return [type_ for type_ in models_and_enums(task, hints) if issubclass(type_, BaseModel)]


def _examples(task: str, what: str, annotation: Any, options: dict[str, Any]) -> list[Any]:
    try:
        return json_examples(make_adapter(task, what, annotation), annotation, options)
    except ValueError as error:
        reason = f"pydantic cannot read back the JSON that it writes for {what} ({error})"
        hint = "make serializers, validators, aliases and computed fields agree"
        raise BadTaskDefinition(task, f"{reason}: {hint}") from error


def result_dump_options(task: str, annotation: Any) -> dict[str, Any]:
    """Return how a result is dumped: computed fields included unless a model forbids them."""
    types_ = models_and_enums(task, {"return": annotation})
    forbidden = any(map(forbids_computed_fields, types_))
    options: dict[str, Any] = DUMP_OPTIONS if forbidden else DUMP_WITH_COMPUTED
    return options
