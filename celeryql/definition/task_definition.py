"""What a task's signature says: its arguments and result as pydantic models.

How one is read, and refused, is in `signature.py`; what all arguments have in common is in
`arguments.py`; how a task runs is in `typed.py`.
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from functools import cached_property, partial
from types import NoneType
from typing import Any

from celery import Task
from pydantic import TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails, to_json

from celeryql.definition import examples, signature
from celeryql.definition.arguments import TaskArguments, is_sensitive
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
from celeryql.definition.unions import has_unions, union_class_names
from celeryql.errors import (
    InvalidArguments,
    InvalidInput,
    InvalidResult,
    message_of,
    problems_of,
)
from celeryql.task_errors import run_task_code


@dataclass(frozen=True)
class TaskDefinition:
    """What is known of a task function from its code alone.

    Attributes:
        name: the function's name, unique among all task modules.
        arguments: one field per parameter, with its limits.
        result: validates and dumps what the function returns.
        types: the models and enums that its arguments and its result are made of.
    """

    name: str
    description: str
    task: Task
    arguments: type[TaskArguments]
    result: TypeAdapter[Any]
    sensitive: frozenset[str]
    types: frozenset[type]

    @cached_property
    def type_hints(self) -> dict[str, Any]:
        """The types of the parameters, and of what is returned (`return`)."""
        return typing.get_type_hints(self.task.run, include_extras=True)

    @property
    def output_type(self) -> Any:
        """The type of what it hands on: nothing, where Celery ignores its result."""
        return NoneType if self.task.ignore_result else self.result_type

    @property
    def result_type(self) -> Any:
        """The annotation of what the function returns."""
        return self.type_hints["return"]

    @property
    def mutation_name(self) -> str:
        """Name of the GraphQL mutation that enqueues it."""
        return f"enqueue{pascal_case(self.name)}"

    @property
    def queue(self) -> str:
        """Name of the queue that the app's routes send it to."""
        name: str = self.task.app.amqp.router.route({}, self.task.name)["queue"].name
        return name

    @property
    def max_attempts(self) -> int:
        """How often it is run at most, unless its caller says otherwise."""
        retries: int | None = self.task.max_retries
        return MAX_ATTEMPTS if retries is None else min(retries + 1, MAX_ATTEMPTS)

    @property
    def required_parameters(self) -> list[str]:
        """Parameters without a default, in order."""
        return [n for n, field in self.arguments.model_fields.items() if field.is_required()]

    @classmethod
    def from_task(cls, task: Task) -> TaskDefinition:
        """Read the definition off a task's function.

        Raises:
            BadTaskDefinition: something is missing, or has no form that a client can be given.
        """
        name = signature.task_name(task)
        hints = signature.resolved_annotations(task)
        types = frozenset(signature.models_and_enums(task.name, hints))
        fields: dict[str, Any] = signature.pydantic_fields(task, hints)
        arguments = create_model(pascal_case(name) + "Arguments", __base__=TaskArguments, **fields)
        result = signature.make_adapter(task.name, "the result", hints["return"])
        signature.check_json_round_trip(task.name, arguments, hints)
        return cls(
            name=name,
            description=signature.task_description(task),
            task=task,
            arguments=arguments,
            result=result,
            sensitive=frozenset(n for n in fields if is_sensitive(hints[n])),
            types=types,
        )

    def validate_input(self, given: dict[str, Any], path: tuple[str, ...]) -> TaskArguments:
        """Validate what a client gave as arguments.

        Args:
            given: JSON values by parameter.
            path: where they stand in the client's input, for problems.

        Raises:
            InvalidInput: they do not fit the parameters.
        """
        try:
            return self.parse(given)
        except ValidationError as error:
            raise InvalidInput(problems_of(error, path)) from error

    def parse(self, given: dict[str, Any]) -> TaskArguments:
        """Read arguments from JSON values by parameter.

        Raises:
            ValidationError: they do not fit the parameters.
            ReportableError: a validator of the task raised something other than an `Exception`.
        """
        arguments: TaskArguments = run_task_code(partial(validate_json_values, self._reader, given))
        return arguments

    @cached_property
    def _reader(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.arguments)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskArguments:
        """Validate the arguments of one call.

        A lone positional argument goes to the one required parameter that is missing, whichever it
        is: so a step of a chain receives the result of the step before, which Celery prepends.

        Raises:
            InvalidArguments: they do not fit the parameters.
        """
        try:
            return self.parse(self._by_name(args, kwargs))
        except ValidationError as error:
            raise InvalidArguments(f"{self.name}: {_join_problems(error)}") from None

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        missing = [name for name in self.required_parameters if name not in kwargs]
        if len(args) == len(missing) == 1:
            return {missing[0]: args[0]} | kwargs
        names = list(self.arguments.model_fields)
        if len(args) > len(names):
            raise InvalidArguments(f"{self.name} takes {len(names)} arguments, not {len(args)}")
        named = dict(zip(names, args, strict=False))
        if twice := named.keys() & kwargs.keys():
            raise InvalidArguments(f"{self.name}: {', '.join(sorted(twice))} given twice")
        return named | kwargs

    def dump_result(self, returned: Any) -> Any:
        """Turn what the function returned into JSON values, which can be read back.

        Raises:
            InvalidResult: it is not of the return type, or cannot be read by every client.
        """
        try:
            checked = self.result.validate_python(returned, **VALIDATE_OPTIONS)
            value = self.result.dump_python(checked, mode="json", **self._result_form)
            # A model's class does not check what is changed of it after it was made.
            self.result.validate_json(to_json(value), **VALIDATE_OPTIONS)
        except ValidationError as error:
            problems = "; ".join(map(_describe_result_error, error.errors(include_url=False)))
            raise InvalidResult(f"{self.name} returned a wrong value: {problems}") from None
        except SERIALIZATION_ERRORS as error:
            raise InvalidResult(f"{self.name} returned what JSON cannot hold: {error}") from None
        if self._is_open and (problem := find_unreadable(value)):
            raise InvalidResult(f"{self.name} returned a wrong value: {problem}")
        return value

    def classes(self, returned: Any) -> list[str]:
        """Name the classes of the models in what the function returned that stand for unions."""
        if not has_unions(self.result_type):
            return []
        checked = self.result.validate_python(returned, **VALIDATE_OPTIONS)
        return list(union_class_names(self.result_type, checked))

    @cached_property
    def _is_open(self) -> bool:
        return may_hold_unsafe_number(self.result_type)

    @cached_property
    def _result_form(self) -> dict[str, Any]:
        return signature.result_dump_options(self.task.name, self.result_type)

    def examples(self) -> tuple[list[Any], list[Any]]:
        """Give arguments and results as JSON values, as they are kept: made up, the same each time.

        There is none where validators refuse all that can be made up.
        """
        arguments = examples.json_examples(self._reader, self.arguments, DUMP_OPTIONS)
        results = examples.json_examples(self.result, self.result_type, self._result_form)
        return arguments, results

    def public_arguments(self, arguments: TaskArguments) -> dict[str, Any]:
        """Dump arguments for keeping and showing: JSON values, the sensitive ones left out."""
        return arguments.model_dump(mode="json", exclude=set(self.sensitive), **DUMP_OPTIONS)


def _join_problems(error: ValidationError) -> str:
    return "; ".join(map(str, problems_of(error)))


def _describe_result_error(error: ErrorDetails) -> str:
    message = message_of(error).replace(
        "Input should", "Value should" if error["loc"] else "Result should"
    )
    return f"{format_path(error['loc'])}: {message}" if error["loc"] else message


def pascal_case(name: str) -> str:
    """Turn `detect_spam` into `DetectSpam`."""
    return "".join(part.capitalize() for part in re.split("_+", name))
