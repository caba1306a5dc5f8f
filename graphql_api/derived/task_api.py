"""The GraphQL of one task definition: input, step input, task type, mutation and payload.

`models.py` makes the GraphQL types of its pydantic models.
"""

from __future__ import annotations

import types
from functools import cached_property
from typing import Annotated, Any

import strawberry
from pydantic import TypeAdapter, ValidationError
from strawberry.types import get_object_definition

from celeryql.definition.task_definition import TaskDefinition, pascal_case
from celeryql.errors import BadTaskDefinition, problems_of
from celeryql.records import TaskState
from celeryql.state.json_documents import JsonDocument
from graphql_api.auth.viewer import Scope
from graphql_api.derived.models import DerivedModels, Role, maybe
from graphql_api.execution.context import Info
from graphql_api.execution.input_validation import (
    UncheckedArguments,
    charge_invalid_input,
    defer_validation,
    validate_arguments,
)
from graphql_api.execution.stored_values import PAGE_MAX, STORED_CONFIG, StoredField
from graphql_api.types import decorators
from graphql_api.types.inputs import StepTaskInput, read_step_task
from graphql_api.types.options import OptionsArgument, TaskOptions, parse_options
from graphql_api.types.payload_errors import (
    Forbidden,
    IdempotencyConflict,
    InvalidInput,
    Throttled,
    Unavailable,
)
from graphql_api.types.task import Task


class TaskApi:
    """Everything that is derived from one task definition."""

    def __init__(self, definition: TaskDefinition, models: DerivedModels) -> None:
        self.definition = definition
        self.name = pascal_case(definition.name)
        self._models = models

    @cached_property
    def input(self) -> Any:
        """The input of the mutation, or None without parameters; the resolver checks it."""
        derived = self._arguments(Role.INPUT)
        if derived:
            defer_validation(derived)
        return derived

    @cached_property
    def step_input(self) -> Any:
        """The input of a workflow step: all arguments are optional, and checked with the canvas.

        A task without parameters is a `Boolean`, because GraphQL has no empty inputs.
        """
        return self._arguments(Role.STEP) or bool

    def _arguments(self, role: Role) -> Any:
        text = _ROLE_TEXTS[role].format(self.definition.name)
        hidden = self.definition.sensitive if role is Role.ARGUMENTS else frozenset()
        return self._models.derive(self.definition.arguments, role, self.name, text, hidden)

    @cached_property
    def task_type(self) -> Any:
        """The object type of the task, with its own `input` and `result` fields."""
        members: dict[str, Any] = {"__doc__": self.definition.description}
        arguments = self._arguments(Role.ARGUMENTS)
        if arguments is not None:
            members["input"] = _input_field(self.definition.name, arguments)
        if self._result is not types.NoneType:
            members["result"] = _result_field(self.definition.name, self._result)
        return decorators.type(type(self._named(f"{self.name}Task"), (Task,), members))

    @cached_property
    def mutation(self) -> Any:
        """The mutation that enqueues the task."""
        name = self._named(f"Enqueue{self.name}Success")
        success = _success(name, self.definition.name, self.task_type)
        payload = self._named(f"Enqueue{self.name}Payload")
        return _mutation(self.definition, self.input, success, payload)

    def check_examples(self) -> None:
        """Check with example values that stored inputs and results can be read back.

        Raises:
            BadTaskDefinition: pydantic serializes a value in a form that its type cannot read.
        """
        examples = self.definition.examples
        arguments = self._arguments(Role.ARGUMENTS)
        result: TypeAdapter[Any] = TypeAdapter(self._result | None, config=STORED_CONFIG)
        try:
            for value in examples.arguments if arguments else ():
                arguments.model_validate(value)
            for value in examples.results:
                result.validate_python(value)
        except ValidationError as error:
            reason = f"what pydantic writes cannot be read back ({problems_of(error)[0]})"
            hint = "make serializers return values that the type of their field accepts"
            raise BadTaskDefinition(self.definition.task.name, f"{reason}: {hint}") from error

    @cached_property
    def _result(self) -> Any:
        return self._models.replace_models(self.definition.result_type, Role.RESULT)

    def _named(self, name: str) -> str:
        self._models.names.reserve(name, self.definition.arguments)
        return name


_ROLE_TEXTS = {
    Role.INPUT: "The arguments of `{}`.",
    Role.STEP: "The arguments of `{}` in a workflow step. Leave out the argument that the previous "
    "step passes.",
    Role.ARGUMENTS: "The input of `{}`. An argument from an earlier step is null until this step "
    "starts.",
}


def complete_step_input(task_apis: list[TaskApi]) -> None:
    """Add a field for each task definition to `StepTaskInput`."""
    for task_api in task_apis:
        name = task_api.definition.name
        StepTaskInput.__annotations__[name] = maybe(task_api.step_input)
        setattr(StepTaskInput, name, strawberry.field(description=f"Run `{name}`."))
    decorators.one_of(StepTaskInput)
    get_object_definition(StepTaskInput, strict=True).from_input = read_step_task


def _input_field(task: str, arguments: Any) -> Any:
    stored = StoredField(task, "input", arguments)

    async def input(self: Task, info: Info) -> Any:
        """The input of the task without sensitive arguments, or null if it cannot be read."""
        document = await info.context.inputs.load(self.record.id)
        return await stored.read(info.context, document) if document else arguments()

    input.__annotations__ |= {"return": arguments | None}
    return decorators.field(input, scopes=(Scope.READ,))


def _result_field(task: str, result: Any) -> Any:
    stored = StoredField(task, "result", result)

    async def resolve(self: Task, info: Info) -> Any:
        """The result of the task, or null if it has not succeeded or the result cannot be read."""
        document = await _result_document(self, info)
        return document and await stored.read(info.context, document, "result")

    async def resolve_list(
        self: Task, info: Info, first: FirstItemsArgument = None, after: SkipItemsArgument = 0
    ) -> Any:
        """The result of the task, or null if it has not succeeded or the result cannot be read.

        Read a long list in parts, with `first` and `after`.
        """
        document = await _result_document(self, info)
        return document and await stored.read_part(info.context, document, "result", after, first)

    resolver = resolve_list if stored.is_list else resolve
    resolver.__annotations__ |= {"return": result | None}
    return decorators.field(resolver, scopes=(Scope.READ,))


async def _result_document(task: Task, info: Info) -> JsonDocument | None:
    has_result = task.record.state is TaskState.SUCCEEDED
    return await info.context.result_metas.load(task.record.id) if has_result else None


FirstItemsArgument = Annotated[
    int | None,
    strawberry.argument(description=f"The number of items: 1 to {PAGE_MAX:,}; all by default."),
]
SkipItemsArgument = Annotated[int, strawberry.argument(description="The number of items to skip.")]


def _success(name: str, task: str, task_type: Any) -> Any:
    members = {
        "__annotations__": {"task": task_type, "deduplicated": bool},
        "task": strawberry.field(description="The task in its current state."),
        "deduplicated": strawberry.field(
            description="Whether `task` is an earlier task with the same idempotency key."
        ),
    }
    derived = type(name, (), members)
    return strawberry.type(derived, description=f"`{task}` was accepted.")


def _mutation(definition: TaskDefinition, input_type: Any, success: Any, payload: str) -> Any:
    async def enqueue(info: Info, input: Any, options: TaskOptions | None = None) -> Any:
        """Enqueue a task with arguments."""
        engine, viewer = info.context.engine, info.context.viewer
        viewer.require_definitions([definition.name])
        async with charge_invalid_input(info):
            arguments = await validate_arguments(info, input)
            accepted = await engine.submitter.enqueue(
                definition, arguments, parse_options(options), viewer.subject
            )
        task = info.context.to_graphql(accepted.record)
        return success(task=task, deduplicated=accepted.deduplicated)

    async def enqueue_without_input(info: Info, options: TaskOptions | None = None) -> Any:
        """Enqueue a task that has no parameters."""
        return await enqueue(info, UncheckedArguments(definition.arguments), options)

    resolver = enqueue if input_type else enqueue_without_input
    union = strawberry.union(payload, description=f"The result of `{definition.mutation_name}`.")
    members = success | InvalidInput | IdempotencyConflict | Throttled | Unavailable | Forbidden
    resolver.__annotations__ |= {
        "options": OptionsArgument,
        "return": Annotated[members, union] | None,
    }
    if input_type:
        text = strawberry.argument(description="The arguments of the task.")
        resolver.__annotations__["input"] = Annotated[input_type, text]
    resolver.__doc__ = f"Enqueue `{definition.name}`: {definition.description}"
    resolver.__name__ = definition.mutation_name
    return decorators.mutation(resolver, scopes=(Scope.ENQUEUE,))
