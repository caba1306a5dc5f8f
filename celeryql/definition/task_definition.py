"""What a task's signature says: models of its arguments and its result, and how it is served.

`signature.py` reads and checks the signature; `worker/task_class.py` runs the task.
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import NoneType
from typing import Any

from celery import Task
from pydantic import TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails, to_json

from celeryql.definition import signature
from celeryql.definition.arguments import TaskArguments
from celeryql.definition.json_values import (
    DUMP_OPTIONS,
    SERIALIZATION_ERRORS,
    VALIDATE_OPTIONS,
    find_unreadable,
    format_path,
    validate_json_values,
)
from celeryql.definition.number_limits import may_hold_unsafe_number
from celeryql.definition.options import MAX_ATTEMPTS
from celeryql.definition.sensitive import is_sensitive
from celeryql.definition.unions import union_class_names
from celeryql.errors import (
    InvalidArguments,
    InvalidInput,
    InvalidResult,
    message_of,
    problems_of,
)
from celeryql.task_errors import run_task_code


@dataclass(frozen=True)
class DumpedResult:
    """A result as JSON values.

    Attributes:
        value: the result.
        union_classes: the classes of models that stand for unions in it, outer ones first.
    """

    value: Any
    union_classes: list[str]


@dataclass(frozen=True)
class TaskDefinition:
    """Everything that the code of a task function says about it.

    Attributes:
        name: the function's name, unique among all task modules.
        arguments: model with one field per parameter, with its limits.
        result: validates and dumps what the function returns.
        sensitive: the parameters whose values live only in the message.
        types: the models and enums that its arguments and its result are made of.
        examples: JSON values of its arguments and its result.
    """

    name: str
    description: str
    task: Task
    arguments: type[TaskArguments]
    result: TypeAdapter[Any]
    sensitive: frozenset[str]
    types: frozenset[type]
    examples: signature.JsonExamples = field(repr=False, compare=False)

    @classmethod
    def from_task(cls, task: Task) -> TaskDefinition:
        """Read the definition from a task's function.

        Raises:
            BadTaskDefinition: something is missing, or GraphQL or JSON cannot express it.
        """
        name = signature.task_name(task)
        hints = signature.resolved_annotations(task)
        types = frozenset(signature.models_and_enums(task.name, hints))
        fields: dict[str, Any] = signature.pydantic_fields(task, hints)
        arguments = create_model(pascal_case(name) + "Arguments", __base__=TaskArguments, **fields)
        return cls(
            name=name,
            result=signature.make_adapter(task.name, "the result", hints["return"]),
            examples=signature.check_json_round_trip(task.name, arguments, hints),
            description=signature.task_description(task),
            task=task,
            arguments=arguments,
            sensitive=frozenset(n for n in fields if is_sensitive(hints[n])),
            types=types,
        )

    @cached_property
    def type_hints(self) -> dict[str, Any]:
        """The annotations of the parameters by name, and of the result as `return`."""
        return typing.get_type_hints(self.task.run, include_extras=True)

    @property
    def result_type(self) -> Any:
        """The annotation of what the function returns."""
        return self.type_hints["return"]

    @property
    def output_type(self) -> Any:
        """The type of the value that it passes to a next step; None where it ignores its result."""
        return NoneType if self.task.ignore_result else self.result_type

    @property
    def mutation_name(self) -> str:
        """Name of the GraphQL mutation that enqueues it."""
        return f"enqueue{pascal_case(self.name)}"

    @property
    def queue(self) -> str:
        """Name of the queue that the app's routes choose."""
        name: str = self.task.app.amqp.router.route({}, self.task.name)["queue"].name
        return name

    @property
    def max_attempts(self) -> int:
        """How many times it runs at most, unless its caller sets another limit."""
        retries: int | None = self.task.max_retries
        return MAX_ATTEMPTS if retries is None else min(retries + 1, MAX_ATTEMPTS)

    @property
    def required_parameters(self) -> list[str]:
        """Parameters without a default, in order."""
        return [n for n, field in self.arguments.model_fields.items() if field.is_required()]

    def validate_input(self, given: dict[str, Any], path: tuple[str, ...]) -> TaskArguments:
        """Validate the arguments that a client gave.

        Args:
            given: JSON values by parameter.
            path: where they are in the client's input; problems begin with it.

        Raises:
            InvalidInput: they do not fit the parameters.
        """
        try:
            return self.parse(given)
        except ValidationError as error:
            raise InvalidInput(problems_of(error, path)) from error

    def parse(self, given: dict[str, Any]) -> TaskArguments:
        """Parse arguments from JSON values by parameter.

        Raises:
            ValidationError: they do not fit the parameters.
            ReportableError: a validator of the task raised something other than an `Exception`.
        """
        arguments: TaskArguments = run_task_code(
            partial(validate_json_values, self._arguments_adapter, given)
        )
        return arguments

    @cached_property
    def _arguments_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.arguments)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskArguments:
        """Validate the arguments of one call.

        A single positional argument fills the one required parameter that is missing, wherever it
        stands: this is how a step of a chain receives the result of the step before, which Celery
        prepends to its arguments.

        Raises:
            InvalidArguments: they do not fit the parameters.
        """
        try:
            return self.parse(self._by_name(args, kwargs))
        except ValidationError as error:
            reasons = "; ".join(map(str, problems_of(error)))
            raise InvalidArguments(f"{self.name}: {reasons}") from None

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        missing = [name for name in self.required_parameters if name not in kwargs]
        if len(args) == len(missing) == 1:
            return {missing[0]: args[0]} | kwargs
        names = list(self.arguments.model_fields)
        if len(args) > len(names):
            plural = "" if len(names) == 1 else "s"
            text = f"{self.name} takes {len(names)} argument{plural}, not {len(args)}"
            raise InvalidArguments(text)
        named = dict(zip(names, args, strict=False))
        if twice := named.keys() & kwargs.keys():
            raise InvalidArguments(f"{self.name}: {', '.join(sorted(twice))} given twice")
        return named | kwargs

    def dump_result(self, returned: Any) -> DumpedResult:
        """Turn what the function returned into JSON values that can be read back.

        Raises:
            InvalidResult: it is not of the return type, or some clients cannot read it.
        """
        try:
            checked = self.result.validate_python(returned, **VALIDATE_OPTIONS)
            value = self.result.dump_python(checked, mode="json", **self._result_dump_options)
            # Again, because pydantic does not check what changed in a model after it was created.
            self.result.validate_json(to_json(value), **VALIDATE_OPTIONS)
        except ValidationError as error:
            problems = "; ".join(map(_result_problem, error.errors(include_url=False)))
            raise InvalidResult(f"{self.name} returned a wrong value: {problems}") from None
        except SERIALIZATION_ERRORS as error:
            raise InvalidResult(
                f"{self.name} returned a value that JSON cannot hold: {error}"
            ) from None
        if self._may_hold_unsafe_number and (problem := find_unreadable(value)):
            raise InvalidResult(f"{self.name} returned a wrong value: {problem}")
        return DumpedResult(value, list(union_class_names(self.result_type, checked)))

    @cached_property
    def _may_hold_unsafe_number(self) -> bool:
        return may_hold_unsafe_number(self.result_type)

    @cached_property
    def _result_dump_options(self) -> dict[str, Any]:
        return signature.result_dump_options(self.task.name, self.result_type)

    def public_arguments(self, arguments: TaskArguments) -> dict[str, Any]:
        """Dump arguments to JSON values for storage and display, without the sensitive ones."""
        return arguments.model_dump(mode="json", exclude=set(self.sensitive), **DUMP_OPTIONS)


def _result_problem(error: ErrorDetails) -> str:
    path = format_path(error["loc"])
    subject = "Value should" if path else "Result should"
    message = message_of(error).replace("Input should", subject)
    return f"{path}: {message}" if path else message


def pascal_case(name: str) -> str:
    """Turn `detect_spam` into `DetectSpam`."""
    return "".join(part.capitalize() for part in re.split("_+", name))
