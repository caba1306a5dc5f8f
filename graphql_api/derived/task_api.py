"""From a Celery task to its GraphQL: input, task type, payload, mutation, step input.

All the magic is here, and in `clones.py`, which makes the GraphQL types of the task's models.
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
from graphql_api.context import Info
from graphql_api.derived.models import DerivedModels, Role, maybe
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
    """Everything derived from one task definition; what two tasks share is made once."""

    def __init__(self, definition: TaskDefinition, clones: DerivedModels) -> None:
        self.definition = definition
        self.name = pascal_case(definition.name)
        self._clones = clones

    @cached_property
    def input(self) -> Any:
        """The input of its mutation, checked by its resolver; None without parameters."""
        made = self._arguments(Role.INPUT)
        if made:
            defer_validation(made)
        return made

    @cached_property
    def step_input(self) -> Any:
        """The input of a step: every argument optional, checked with the canvas as a whole.

        A task without parameters is named by `true`, for GraphQL has no empty input.
        """
        return self._arguments(Role.STEP) or bool

    def _arguments(self, role: Role) -> Any:
        text = f"{_ROLE_TEXTS[role]} `{self.definition.name}`."
        hidden = self.definition.sensitive if role is Role.ARGUMENTS else frozenset()
        return self._clones.of(self.definition.arguments, role, self.name, text, hidden)

    @cached_property
    def task_type(self) -> Any:
        """The object type of its executions, with its own input and result."""
        members: dict[str, Any] = {"__doc__": self.definition.description}
        arguments = self._arguments(Role.ARGUMENTS)
        if arguments is not None:
            members["input"] = _input_field(self.definition.name, arguments)
        if self._result is not types.NoneType:
            members["result"] = _result_field(self.definition.name, self._result)
        return decorators.type(type(self._named(f"{self.name}Task"), (Task,), members))

    @cached_property
    def mutation(self) -> Any:
        """The mutation that enqueues it."""
        name = self._named(f"Enqueue{self.name}Success")
        success = _success(name, self.definition.name, self.task_type)
        payload = self._named(f"Enqueue{self.name}Payload")
        return _mutation(self.definition, self.input, success, payload)

    def check_examples(self) -> None:
        """See that what is stored of its executions can be shown.

        Raises:
            BadTaskDefinition: pydantic writes a value in a form that its field's type is not of.
        """
        examples = self.definition.examples
        arguments = self._arguments(Role.ARGUMENTS)
        shown: TypeAdapter[Any] = TypeAdapter(self._result | None, config=STORED_CONFIG)
        try:
            for value in examples.arguments if arguments else ():
                arguments.model_validate(value)
            for value in examples.results:
                shown.validate_python(value)
        except ValidationError as error:
            reason = f"what pydantic writes cannot be shown ({problems_of(error)[0]})"
            hint = "have serializers write what the type of their field reads"
            raise BadTaskDefinition(self.definition.task.name, f"{reason}: {hint}") from error

    @cached_property
    def _result(self) -> Any:
        return self._clones.annotation(self.definition.result_type, Role.RESULT)

    def _named(self, name: str) -> str:
        self._clones.names.take(name, self.definition.arguments)
        return name


_ROLE_TEXTS = {
    Role.INPUT: "The arguments of",
    Role.STEP: "One step of a workflow, leaving out what is piped into it: the arguments of",
    Role.ARGUMENTS: "What was given, null for what the step before has yet to hand over, to",
}


def complete_step_input(derivations: list[TaskApi]) -> None:
    """Give `StepTaskInput` a member for each task definition."""
    for derivation in derivations:
        name = derivation.definition.name
        StepTaskInput.__annotations__[name] = maybe(derivation.step_input)
        setattr(StepTaskInput, name, strawberry.field(description=f"Run `{name}`."))
    decorators.one_of(StepTaskInput)
    get_object_definition(StepTaskInput, strict=True).from_input = read_step_task


def _input_field(task: str, arguments: Any) -> Any:
    stored = StoredField(task, "input", arguments)

    async def input(self: Task, info: Info) -> Any:
        """What it was given, sensitive arguments left out; null if it cannot be read."""
        document = await info.context.inputs.load(self.record.id)
        return await stored.read(info.context, document) if document else arguments()

    input.__annotations__ |= {"return": arguments | None}
    return decorators.field(input, scopes=(Scope.READ,))


def _result_field(task: str, result: Any) -> Any:
    stored = StoredField(task, "result", result)

    async def resolve(self: Task, info: Info) -> Any:
        """What it returned; null until it has succeeded, and if it cannot be read."""
        document = await _result_document(self, info)
        return document and await stored.read(info.context, document, "result")

    async def resolve_list(
        self: Task, info: Info, first: FirstArgument = None, after: AfterArgument = 0
    ) -> Any:
        """What it returned; null until it has succeeded, and if it cannot be read.

        Read a long list in parts, with `first` and `after`.
        """
        document = await _result_document(self, info)
        return document and await stored.read_part(info.context, document, "result", after, first)

    resolver = resolve_list if stored.is_list else resolve
    resolver.__annotations__ |= {"return": result | None}
    return decorators.field(resolver, scopes=(Scope.READ,))


async def _result_document(task: Task, info: Info) -> JsonDocument | None:
    is_there = task.record.state is TaskState.SUCCEEDED
    return await info.context.result_metas.load(task.record.id) if is_there else None


FirstArgument = Annotated[
    int | None,
    strawberry.argument(description=f"How many items: at most {PAGE_MAX:,}; all, if left out."),
]
AfterArgument = Annotated[int, strawberry.argument(description="How many items to leave out.")]


def _success(name: str, task: str, task_type: Any) -> Any:
    members = {
        "__annotations__": {"task": task_type, "deduplicated": bool},
        "task": strawberry.field(description="The task, as it is now."),
        "deduplicated": strawberry.field(description="The idempotency key was seen before."),
    }
    made = type(name, (), members)
    return strawberry.type(made, description=f"`{task}` was accepted.")


def _mutation(definition: TaskDefinition, input_type: Any, success: Any, payload: str) -> Any:
    async def enqueue(info: Info, input: Any, options: TaskOptions | None = None) -> Any:
        """Accept one task with these arguments."""
        engine, viewer = info.context.engine, info.context.viewer
        viewer.require_definitions([definition.name])
        async with charge_invalid_input(info):
            arguments = await validate_arguments(info, input)
            accepted = await engine.submitter.enqueue(
                definition, arguments, parse_options(options), viewer.subject
            )
        task = info.context.present(accepted.record)
        return success(task=task, deduplicated=accepted.deduplicated)

    async def enqueue_without_input(info: Info, options: TaskOptions | None = None) -> Any:
        """Accept one task that takes no arguments."""
        return await enqueue(info, UncheckedArguments(definition.arguments), options)

    resolver = enqueue if input_type else enqueue_without_input
    union = strawberry.union(payload, description=f"What `{definition.mutation_name}` answers.")
    members = success | InvalidInput | IdempotencyConflict | Throttled | Unavailable | Forbidden
    resolver.__annotations__ |= {
        "options": OptionsArgument,
        "return": Annotated[members, union] | None,
    }
    if input_type:
        text = strawberry.argument(description="Its arguments.")
        resolver.__annotations__["input"] = Annotated[input_type, text]
    resolver.__doc__ = f"Enqueue `{definition.name}`: {definition.description}"
    resolver.__name__ = definition.mutation_name
    return decorators.mutation(resolver, scopes=(Scope.ENQUEUE,))
