"""Says why a stored task or workflow cannot run again: its definition may have changed since."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from celeryql.definition.task_definition import TaskDefinition
from celeryql.definition.type_compatibility import is_assignable, type_name
from celeryql.errors import problems_of
from celeryql.records import TaskId
from celeryql.state.graph import Shape
from celeryql.workflow.canvas import PlannedStep, Workflow


def input_mismatch(
    definition: TaskDefinition, given: dict[str, Any], waits_for: str | None = None
) -> str:
    """Say why a stored input does not fit a definition; an empty text if it fits.

    Args:
        definition: the definition as it is now.
        given: the stored input.
        waits_for: the parameter whose value an earlier step will pass.
    """
    try:
        definition.parse(given)
    except ValidationError as error:
        found = [str(p) for p in problems_of(error) if p.path != (waits_for,)]
        if found:
            return f"does not fit {definition.name!r} as it is defined now ({'; '.join(found)})"
    return ""


def workflow_mismatches(workflow: Workflow, results: Mapping[TaskId, Any]) -> Iterator[str]:
    """Say why the steps of a stored workflow do not fit their definitions as they are now.

    Args:
        workflow: the workflow as it would run again.
        results: the results of the steps that would not run again, by id.
    """
    output_types = {step.id: step.node.definition.output_type for step in workflow.steps}
    for step in workflow.steps:
        if step.id not in results and (
            found := _step_mismatch(step, workflow, results, output_types)
        ):
            yield f"Step {step.key!r}: {found}"


def _step_mismatch(
    step: PlannedStep,
    workflow: Workflow,
    results: Mapping[TaskId, Any],
    output_types: Mapping[TaskId, Any],
) -> str:
    definition, given, parameter = step.node.definition, step.node.arguments, step.open_parameter
    if parameter is None or step.after is None:
        return input_mismatch(definition, given)
    wanted = definition.type_hints.get(parameter)
    if wanted is None:
        return f"an earlier step passes {parameter!r}, which {definition.name!r} does not take now"
    if received := workflow.received_arguments(step, results):
        return input_mismatch(definition, given | {parameter: received[0]})
    offered = _type_of(workflow.joins[step.after].value, output_types)
    if not is_assignable(offered, wanted):
        return (
            f"it takes {type_name(wanted)} as {parameter!r} now, but receives {type_name(offered)}"
        )
    return input_mismatch(definition, given, waits_for=parameter)


def _type_of(shape: Shape, output_types: Mapping[TaskId, Any]) -> Any:
    if isinstance(shape, str):
        return output_types[TaskId(shape)]
    item: Any = typing.Union[tuple(_type_of(part, output_types) for part in shape)]  # noqa: UP007  # made at run time
    return list[item]
