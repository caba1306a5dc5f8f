"""What a task's signature says: its arguments and result as pydantic models, and its running.

`TypedTask` is the class of every task of the app. It checks arguments in the worker too, so that a
plain `.delay()` caller gets the same care as GraphQL, and hands validated values to the function.
"""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.exceptions import Ignore
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError

from tasks.engine.errors import BadTaskDefinition, InvalidArguments, InvalidResult
from tasks.engine.transport import open_collector

STRING_MAX = 1_000_000  # characters; a parameter may name less
_CELERYS_OWN = "celery."  # built-in tasks (chord, map, backend_cleanup) have no typed signature


class _SensitiveMark:
    """Marks a parameter whose value lives in the message only: `Annotated[str, Sensitive]`."""


Sensitive = _SensitiveMark()


class Arguments(BaseModel):
    """Base of the model that is made from each task's parameters."""

    # The bound holds where a parameter names none; it also keeps lone surrogates out.
    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=STRING_MAX)


@dataclass(frozen=True)
class TaskDefinition:
    """What is known of a task function from its code alone.

    Attributes:
        name: the function's name, unique among all task modules.
        arguments: one field per parameter, with its limits.
        result: validates and dumps what the function returns.
    """

    name: str
    description: str
    task: Task
    arguments: type[Arguments]
    result: TypeAdapter[Any]
    sensitive: frozenset[str]

    @property
    def result_type(self) -> Any:
        """The annotation of what the function returns."""
        return typing.get_type_hints(self.task.run, include_extras=True)["return"]

    @property
    def mutation(self) -> str:
        """Name of the GraphQL mutation that enqueues it."""
        return f"enqueue{pascal(self.name)}"

    @property
    def queue(self) -> str:
        """Name of the queue that the app's routes send it to."""
        name: str = self.task.app.amqp.router.route({}, self.task.name)["queue"].name
        return name

    @property
    def required(self) -> list[str]:
        """Parameters without a default, in order."""
        return [n for n, field in self.arguments.model_fields.items() if field.is_required()]

    @classmethod
    def of(cls, task: Task) -> TaskDefinition:
        """Read the definition off a task's function.

        Raises:
            BadTaskDefinition: an annotation or the docstring is missing, or a type is not data.
        """
        name = task.name.rpartition(".")[2]
        hints = typing.get_type_hints(task.run, include_extras=True)
        fields: dict[str, Any] = {
            parameter.name: _field(task.name, parameter, hints) for parameter in _parameters(task)
        }
        if "return" not in hints:
            raise BadTaskDefinition(task.name, "its return type is not annotated")
        description = inspect.cleandoc(task.run.__doc__ or "")
        if not description:
            raise BadTaskDefinition(task.name, "it has no docstring to describe it")
        if inspect.iscoroutinefunction(task.run):
            raise BadTaskDefinition(task.name, "Celery workers do not await an async function")
        try:
            arguments = create_model(pascal(name) + "Arguments", __base__=Arguments, **fields)
            result = TypeAdapter(hints["return"])
        except PydanticSchemaGenerationError as error:
            raise BadTaskDefinition(task.name, f"a type is not data: {error}") from error
        sensitive = {name for name in fields if is_marked_sensitive(hints[name])}
        return cls(name, description, task, arguments, result, frozenset(sensitive))

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Validate the arguments of one call.

        A lone positional argument goes to the one required parameter that is missing, whichever it
        is: so a step of a chain receives the result of the step before, which Celery prepends.

        Raises:
            InvalidArguments: they do not fit the parameters.
        """
        try:
            return self.arguments.model_validate(self._by_name(args, kwargs))
        except ValidationError as error:
            raise InvalidArguments(f"{self.name}: {_problems(error)}") from None

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        missing = [name for name in self.required if name not in kwargs]
        if len(args) == len(missing) == 1:
            return {missing[0]: args[0]} | kwargs
        names = list(self.arguments.model_fields)
        if len(args) > len(names):
            raise InvalidArguments(f"{self.name} takes {len(names)} arguments, not {len(args)}")
        named = dict(zip(names, args, strict=False))
        if twice := named.keys() & kwargs.keys():
            raise InvalidArguments(f"{self.name}: {', '.join(sorted(twice))} given twice")
        return named | kwargs

    def dump(self, returned: Any) -> Any:
        """Turn what the function returned into JSON values.

        Raises:
            InvalidResult: it is not of the return type.
        """
        try:
            return self.result.dump_python(self.result.validate_python(returned), mode="json")
        except ValidationError as error:
            raise InvalidResult(f"{self.name} returned a wrong value: {_problems(error)}") from None

    def public(self, arguments: Arguments) -> dict[str, Any]:
        """Dump arguments for keeping and showing: JSON values, the sensitive ones left out."""
        return arguments.model_dump(mode="json", exclude=set(self.sensitive))


class TypedTask(Task):
    """The task class of the app: validates arguments, tracks the start, dumps the result."""

    abstract = True
    typing = False  # Celery's own check runs before a piped value has found its parameter
    definition: TaskDefinition | None = None

    def __init__(self) -> None:
        """Derive the definition once, when Celery makes the task's only instance.

        Raises:
            BadTaskDefinition: the signature is incomplete.
        """
        if not self.name.startswith(_CELERYS_OWN):
            self.definition = TaskDefinition.of(self)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Send a message as Celery does, whose headers show no sensitive argument."""
        if self.definition is not None and self.definition.sensitive:
            options |= {"argsrepr": "(...)", "kwargsrepr": "{...}"}
        return super().apply_async(*args, **options)

    def before_start(self, task_id: str, *_: Any) -> None:
        """Record the start; a message of a task that has already ended is dropped.

        Raises:
            Ignore: the record is final, so this message is a duplicate or was canceled.
        """
        if self.request.is_eager:  # in a test, perhaps without Redis
            return
        if not self.backend.mark_as_started(task_id, request=self.request):
            raise Ignore(f"{task_id} has already ended")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function: as it is when called directly, typed when a worker runs it."""
        if (
            self.definition is None
            or self.request.called_directly
            or self.request.get("is_running")
        ):
            return self.run(*args, **kwargs)
        self.request.is_running = True  # a call of itself from inside is a direct one
        arguments = self.definition.bind(args, kwargs)
        values = {name: getattr(arguments, name) for name in type(arguments).model_fields}
        try:
            returned = self.run(**values)
        except Ignore as ignored:
            self._end_ignored(ignored)
            raise
        result = self.definition.dump(returned)
        if not self.request.is_eager:
            open_collector()
        return result

    def replace(self, sig: Any, *args: Any, **kwargs: Any) -> Any:
        """Replace this run by another of the same id, as Celery does."""
        self.request.is_replaced = True
        return super().replace(sig, *args, **kwargs)

    def on_retry(self, exc: BaseException, task_id: str, *args: Any) -> None:
        """Record that another attempt is due, of a task that ignores its result too."""
        if self.request.ignore_result:
            self.backend.mark_as_retry(task_id, exc, request=self.request)
        super().on_retry(exc, task_id, *args)

    def _end_ignored(self, ignored: Ignore) -> None:
        """Fail a task whose body raised Ignore, for Celery would leave it running for ever."""
        if not self.request.is_eager and not self.request.get("is_replaced"):
            self.backend.mark_as_failure(self.request.id, ignored, request=self.request)


def _problems(error: ValidationError) -> str:
    """List problems without the values, which pydantic's own text quotes: they may be sensitive."""
    listed = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in listed)


def is_marked_sensitive(annotation: Any) -> bool:
    """Tell whether a mark stands anywhere in an annotation, or in a model that it names."""
    if annotation is Sensitive:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return any(Sensitive in f.metadata or is_marked_sensitive(f.annotation) for f in fields)
    return any(is_marked_sensitive(part) for part in typing.get_args(annotation))


def _parameters(task: Task) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(task.run).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(parameter.name.startswith("_") for parameter in parameters):
        raise BadTaskDefinition(task.name, "a parameter's name begins with an underscore")
    if any(parameter.kind not in named for parameter in parameters):
        raise BadTaskDefinition(
            task.name, "*args, **kwargs and positional-only have no GraphQL form"
        )
    return parameters


def _field(task: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> tuple[Any, Any]:
    if parameter.name not in hints:
        raise BadTaskDefinition(task, f"parameter {parameter.name!r} is not annotated")
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    return hints[parameter.name], default


def pascal(name: str) -> str:
    """Turn `detect_spam` into `DetectSpam`."""
    return "".join(part.capitalize() for part in re.split("_+", name))
