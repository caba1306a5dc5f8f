"""Says why what was accepted before cannot be run again: its definition may have changed since."""

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
    """Say how a stored input does not fit a definition; nothing where it fits.

    Args:
        definition: as it is now.
        given: the input as it was stored.
        waits_for: the parameter that an earlier step has yet to hand over.
    """
    try:
        definition.parse(given)
    except ValidationError as error:
        found = [str(p) for p in problems_of(error) if p.path != (waits_for,)]
        if found:
            return f"does not fit {definition.name!r} as it is defined now ({'; '.join(found)})"
    return ""


def workflow_mismatches(workflow: Workflow, results: Mapping[TaskId, Any]) -> Iterator[str]:
    """Say how the steps of a workflow of before do not fit the definitions of today.

    Args:
        workflow: as it would be run again.
        results: of the steps that would not be run again.
    """
    returned = {step.id: step.node.definition.output_type for step in workflow.steps}
    for step in workflow.steps:
        if step.id not in results and (found := _step_mismatch(step, workflow, results, returned)):
            yield f"Step {step.key!r}: {found}"


def _step_mismatch(
    step: PlannedStep,
    workflow: Workflow,
    results: Mapping[TaskId, Any],
    returned: Mapping[TaskId, Any],
) -> str:
    definition, given, taken = step.node.definition, step.node.arguments, step.open_parameter
    if taken is None or step.after is None:
        return input_mismatch(definition, given)
    wanted = definition.type_hints.get(taken)
    if wanted is None:
        return f"an earlier step hands {taken!r} on, which {definition.name!r} does not take now"
    if handed := workflow.received_arguments(step, results):
        return input_mismatch(definition, given | {taken: handed[0]})
    offered = _type_of(workflow.joins[step.after].value, returned)
    if not is_assignable(offered, wanted):
        return f"it takes {type_name(wanted)} as {taken!r} now, but receives {type_name(offered)}"
    return input_mismatch(definition, given, waits_for=taken)


def _type_of(shape: Shape, returned: Mapping[TaskId, Any]) -> Any:
    if isinstance(shape, str):
        return returned[TaskId(shape)]
    item: Any = typing.Union[tuple(_type_of(part, returned) for part in shape)]  # noqa: UP007  # made at run time
    return list[item]
