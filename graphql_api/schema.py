"""Build the schema from the types written by hand and those derived from tasks; print its SDL."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import strawberry
from celery import Celery
from graphql import GraphQLError, Undefined
from strawberry.exceptions import DuplicatedTypeName
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type
from strawberry.types import ExecutionContext

from celeryql.adopt.exposed_tasks import exposed_tasks, queue_names
from celeryql.adopt.find import load_celery_app
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import exit_on_bad_configuration
from celeryql.observability import traces
from celeryql.records import WORKFLOW, Record, WorkflowSummary
from celeryql.settings import PROJECT_ROOT, load_settings
from graphql_api.derived.models import DerivedModels
from graphql_api.derived.names import SchemaNames
from graphql_api.derived.task_api import TaskApi, complete_step_input
from graphql_api.execution import one_of
from graphql_api.execution.executor import Executor
from graphql_api.execution.operation_hooks import OperationHooks
from graphql_api.resolvers.batch import BatchMutation
from graphql_api.resolvers.cancel_retry import ControlMutation
from graphql_api.resolvers.error_mapping import EXCEPTION_HANDLERS, report_all
from graphql_api.resolvers.queries import Query
from graphql_api.resolvers.subscriptions import Subscription
from graphql_api.resolvers.tokens import TokenMutation
from graphql_api.resolvers.workflows import WorkflowMutation
from graphql_api.types.naming import CachedNameConverter
from graphql_api.types.scalars import SCALARS
from graphql_api.types.task import Task, UndefinedTask, Workflow

SDL_FILE = PROJECT_ROOT / "schema.graphql"


class Schema(strawberry.Schema):
    """Strawberry's schema, with one way to report all errors."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Replace the errors that go to the client, for every transport."""
        errors[:] = report_all(errors)
        context = execution_context and execution_context.context
        if context and not context.document_limits.suggestions:
            for error in errors:  # errors in variables do not go through validation
                error.message = error.message.partition(" Did you mean ")[0]


class HookedSchema(Schema):
    """The schema of the API; its operations have a `Context` and run through our own hooks."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._operation_hooks = _operation_hooks()

    def create_extensions_runner(
        self,
        execution_context: ExecutionContext,
        extensions: list[SchemaExtension],  # noqa: ARG002  # its signature
    ) -> SchemaExtensionsRunner:
        """Create the hooks of one operation."""
        return self._operation_hooks(execution_context)


@dataclass(frozen=True)
class Api:
    """The schema of a Celery app, and the conversion of records to its types."""

    schema: strawberry.Schema
    definitions: Mapping[str, TaskDefinition]
    queues: Sequence[str]
    task_types: Mapping[str, Any]

    def to_graphql(self, record: Record, summary: WorkflowSummary | None = None) -> Task:
        """Make the GraphQL object of a record.

        Args:
            record: the state of the task at the moment to show.
            summary: of the task's workflow, or of the workflow itself, at that moment.
        """
        made = self.task_types.get(record.definition or "", UndefinedTask)
        if summary and record.definition == WORKFLOW:
            record = record.as_of(summary)
        task: Task = made(id=strawberry.ID(record.id), record=record, summary=summary)
        return task


@cache
def build_schema(app: Celery | None = None) -> Api:
    """Derive the schema from the tasks of a Celery app.

    Args:
        app: None for the one that the setting CELERY_APP names.

    Raises:
        BadSettings: CELERY_APP names no app that CeleryQL is installed into.
        BadTaskDefinition: a task cannot be exposed, or a name that is derived for it is taken.
    """
    app = app or load_celery_app(load_settings().celery_app)
    known = exposed_tasks(app)
    names = SchemaNames(known.values())
    models = DerivedModels(names)
    derived = [TaskApi(definition, models) for definition in known.values()]
    complete_step_input(derived)
    generated = create_type("Generated", [d.mutation for d in derived])
    written = (WorkflowMutation, BatchMutation, ControlMutation, TokenMutation)
    mutation = type("Mutation", (generated, *written), {})
    task_types = {d.definition.name: d.task_type for d in derived} | {WORKFLOW: Workflow}
    try:
        schema = _schema(mutation, task_types)
    except DuplicatedTypeName as error:
        raise names.explain_duplicate(error) or error from error
    for task_api in derived:
        task_api.check_examples()
    _remove_null_defaults(schema)
    one_of.let_graphql_core_check(schema)
    return Api(schema, known, queue_names(app), task_types)


def _schema(mutation: type, task_types: Mapping[str, Any]) -> HookedSchema:
    return HookedSchema(
        query=Query,
        mutation=strawberry.type(mutation, description="Enqueue and control tasks."),
        subscription=Subscription,
        types=[*task_types.values(), UndefinedTask],
        exception_handlers=EXCEPTION_HANDLERS,
        execution_context_class=Executor,
        config=StrawberryConfig(name_converter=CachedNameConverter(), scalar_map=SCALARS),
    )


def _operation_hooks() -> type[OperationHooks]:
    if not traces.is_enabled():
        return OperationHooks
    from graphql_api.execution.tracing import TracedOperationHooks  # noqa: PLC0415  # an extra

    return TracedOperationHooks


def _remove_null_defaults(schema: strawberry.Schema) -> None:
    # Strawberry prints a default of None as `= null`, which adds nothing to a nullable type.
    for type_ in schema._schema.type_map.values():  # noqa: SLF001  # there is no public way
        members = getattr(type_, "fields", {}).values()
        arguments = [a for member in members for a in getattr(member, "args", {}).values()]
        for place in (*members, *arguments):
            if getattr(place, "default_value", Undefined) is None:
                place.default_value = Undefined


def main() -> int:
    """Print the SDL, or compare it with the committed one."""
    parser = argparse.ArgumentParser(prog="python -m graphql_api.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with schema.graphql")
    arguments = parser.parse_args()
    with exit_on_bad_configuration():
        sdl = build_schema().schema.as_str() + "\n"
    if not arguments.check:
        sys.stdout.write(sdl)
        return 0
    if Path(SDL_FILE).read_text() == sdl:
        return 0
    sys.stderr.write(
        "schema.graphql does not match the code; run "
        "`python -m graphql_api.schema > schema.graphql` and review its diff\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
