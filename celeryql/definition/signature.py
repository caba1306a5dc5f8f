"""Reads the signature of a task's function, and says in plain words why one will not do.

Which types may stand in it is in `annotations.py`; what is made of it in `definition.py`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from types import NoneType
from typing import Any

from celery import Task
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError, to_jsonable_python

from celeryql.definition import examples
from celeryql.definition.annotations import Place, canonical_name, check_names
from celeryql.definition.json_values import DUMP_OPTIONS, DUMP_WITH_COMPUTED, find_unreadable
from celeryql.definition.type_compatibility import forbids_computed_fields
from celeryql.errors import BadTaskDefinition

# No task may have them: what is derived for it would be named as what is written in the schema.
RESERVED_NAMES = (
    *("batch", "batch_item", "canvas", "chord", "invalid", "start", "step", "step_task", "task"),
    *("create_token", "undefined", "workflow"),
)
# What pydantic raises for a type that it does not know, or limits that do not suit one.
_PYDANTIC_ERRORS = (PydanticUserError, SchemaError, TypeError)


def task_name(task: Task) -> str:
    """Name a task by the last part of its full name.

    Raises:
        BadTaskDefinition: GraphQL cannot have that name, or the schema has it.
    """
    name: str = task.name.rpartition(".")[2]
    check_names(task.name, "its name", [name])
    if canonical_name(name) in map(canonical_name, RESERVED_NAMES):
        raise BadTaskDefinition(task.name, f"{name!r} is a name of the schema: rename it")
    return name


def task_description(task: Task) -> str:
    """Give the docstring of the function.

    Raises:
        BadTaskDefinition: there is none.
    """
    description = inspect.cleandoc(task.run.__doc__ or "")
    if not description:
        raise BadTaskDefinition(task.name, "it has no docstring to describe it")
    return description


def resolved_annotations(task: Task) -> dict[str, Any]:
    """Resolve the annotations of the function.

    Raises:
        BadTaskDefinition: one is missing, or names what is not there at run time.
    """
    if inspect.iscoroutinefunction(task.run):
        raise BadTaskDefinition(task.name, "Celery workers do not await an async function")
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


def _parameters(task: Task) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(task.run).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(parameter.name.startswith("_") for parameter in parameters):
        raise BadTaskDefinition(task.name, "a parameter's name begins with an underscore")
    if any(parameter.kind not in named for parameter in parameters):
        raise BadTaskDefinition(
            task.name, "*args, **kwargs and positional-only have no GraphQL form"
        )
    check_names(task.name, "parameter", [parameter.name for parameter in parameters])
    for parameter in parameters:
        if hasattr(BaseModel, parameter.name):
            raise BadTaskDefinition(
                task.name, f"pydantic keeps the name of parameter {parameter.name!r}: rename it"
            )
    return parameters


def models_and_enums(task: str, hints: dict[str, Any]) -> Iterator[type]:
    """List the models and enums that arguments and result are made of.

    Raises:
        BadTaskDefinition: a type has no GraphQL form.
    """
    for name, annotation in hints.items():
        if name != "return":
            yield from Place(task, f"parameter {name!r}", is_input=True).types(annotation)
        elif annotation is not NoneType:
            yield from Place(task, "the result", is_input=False).types(annotation)


def pydantic_fields(task: Task, hints: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Describe the parameters as pydantic's fields: annotation and default by name.

    Raises:
        BadTaskDefinition: a parameter's kind, name, limits or default will not do.
    """
    return {p.name: _field(task.name, p, hints) for p in _parameters(task)}


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
    """Make what validates and dumps values of an annotation.

    Raises:
        BadTaskDefinition: pydantic cannot make it.
    """
    try:
        return TypeAdapter(annotation)
    except _PYDANTIC_ERRORS as error:
        reason = str(error).partition("\n")[0]
        raise BadTaskDefinition(task, f"pydantic refuses {what}: {reason}") from error


def check_json_round_trip(task: str, arguments: type[BaseModel], hints: dict[str, Any]) -> None:
    """See that what comes in and goes out can be read back from the JSON that it is written as.

    Raises:
        BadTaskDefinition: something cannot.
    """
    returned = {"return": hints["return"]}
    form = result_dump_options(task, hints["return"])
    given = {name: hint for name, hint in hints.items() if name != "return"}
    # A model of both is checked as results are written, where more may go wrong.
    forms = dict.fromkeys(_models_of(task, given), DUMP_OPTIONS)
    forms |= dict.fromkeys(_models_of(task, returned), form)
    wholes = [("its arguments", arguments, DUMP_OPTIONS), ("the result", hints["return"], form)]
    models = [(model.__name__, model, written_as) for model, written_as in forms.items()]
    for what, annotation, written_as in models + wholes:
        try:
            examples.json_examples(make_adapter(task, what, annotation), annotation, written_as)
        except ValueError as error:
            reason = f"pydantic does not read back what it writes of {what} ({error})"
            hint = "have serializers, validators, aliases and computed fields agree"
            raise BadTaskDefinition(task, f"{reason}: {hint}") from error


def _models_of(task: str, hints: dict[str, Any]) -> list[type[BaseModel]]:
    return [type_ for type_ in models_and_enums(task, hints) if issubclass(type_, BaseModel)]


def result_dump_options(task: str, annotation: Any) -> dict[str, Any]:
    """Say how a result is written: with what is computed, unless one of its models forbids it."""
    types = models_and_enums(task, {"return": annotation})
    form: dict[str, Any] = (
        DUMP_OPTIONS if any(map(forbids_computed_fields, types)) else DUMP_WITH_COMPUTED
    )
    return form
