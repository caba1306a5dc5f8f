"""Workflows: what a canvas says, whether its types fit, and how it becomes Celery's messages."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any
from uuid import uuid4

from celery import chain
from celery.canvas import Signature
from pydantic import BaseModel, StringConstraints, TypeAdapter, ValidationError

from tasks.engine.errors import InvalidInput, Problem, WorkflowTypeMismatch
from tasks.engine.records import Step, TaskId
from tasks.engine.typed import TaskDefinition


@dataclass(frozen=True)
class StepNode:
    """One task of a canvas.

    Attributes:
        given: JSON values of the arguments, without the one that is piped.
        path: where the step's arguments stand in the operation's input, for problems.
    """

    key: str | None
    definition: TaskDefinition
    given: dict[str, Any]
    path: tuple[str, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChainNode:
    """Steps, each handed the result of the one before."""

    nodes: tuple[Node, ...]


Node = StepNode | ChainNode


@dataclass(frozen=True)
class PlannedStep:
    """A checked step with its ids; `open_parameter` is what the step before is piped into."""

    node: StepNode
    step: Step
    open_parameter: str | None

    @property
    def known_input(self) -> dict[str, Any]:
        """What is known of its arguments before it starts, for showing."""
        hidden = self.node.definition.sensitive
        return {name: value for name, value in self.node.given.items() if name not in hidden}

    def signature(self) -> Signature:
        """Give the Celery signature; one that takes nothing from before is immutable."""
        immutable = self.open_parameter is None
        return self.node.definition.task.signature(
            kwargs=self.node.given, immutable=immutable, task_id=self.step.id
        )


@dataclass(frozen=True)
class Workflow:
    """A canvas that passed every check, with all its ids."""

    name: str | None
    steps: tuple[PlannedStep, ...]
    id: TaskId = field(default_factory=lambda: TaskId(str(uuid4())))

    def dispatch(self, **options: Any) -> None:
        """Publish the first message of the canvas through Celery itself."""
        chain(*[step.signature() for step in self.steps]).apply_async(root_id=self.id, **options)


Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]  # what a caller made up
_NAME: TypeAdapter[str | None] = TypeAdapter(Name | None)


def plan(name: str | None, canvas: Node, *, max_steps: int) -> Workflow:
    """Check a canvas from end to end and give each step its key and id.

    Raises:
        InvalidInput: no step or too many, a key given twice, arguments missing or unfit.
        WorkflowTypeMismatch: a result does not fit the argument that it is piped into.
    """
    _check_name(name, ("input", "name"))
    nodes = list(_flatten(canvas, ()))
    if not 1 <= len(nodes) <= max_steps:
        message = f"A workflow has 1 to {max_steps} steps, not {len(nodes)}"
        raise InvalidInput([Problem(("input", "canvas"), message)])
    _check_keys(nodes)
    problems: list[Problem] = []
    steps: list[PlannedStep] = []
    for key, node in nodes:
        open_parameter = _open_parameter(node, is_first=not steps)
        problems += check_arguments(node.definition, node.given, open_parameter, node.path)
        if open_parameter and steps:
            _check_pipe(key, steps[-1].node.definition, node.definition, open_parameter)
        before = (steps[-1].step.key,) if steps else ()
        step = Step(key=key, id=TaskId(str(uuid4())), depends_on=before)
        steps.append(PlannedStep(node, step, open_parameter))
    if problems:
        raise InvalidInput(problems)
    return Workflow(name, tuple(steps))


def check_arguments(
    definition: TaskDefinition,
    given: dict[str, Any],
    open_parameter: str | None,
    path: tuple[str, ...],
) -> list[Problem]:
    """List what is wrong with a task's arguments, leaving out the one that is still to come."""
    try:
        definition.arguments.model_validate(given)
    except ValidationError as error:
        return [
            Problem((*path, *(str(part) for part in e["loc"])), e["msg"])
            for e in error.errors(include_input=False, include_url=False)
            if e["loc"] != (open_parameter,)
        ]
    return []


def _check_name(name: str | None, path: tuple[str, ...]) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise InvalidInput([Problem(path, error.errors()[0]["msg"])]) from error


def _flatten(node: Node, path: tuple[int, ...]) -> Iterator[tuple[str, StepNode]]:
    if isinstance(node, StepNode):
        yield (".".join(map(str, path)) or "0") if node.key is None else node.key, node
    else:
        for i, child in enumerate(node.nodes):
            yield from _flatten(child, (*path, i))


def _check_keys(nodes: list[tuple[str, StepNode]]) -> None:
    seen: set[str] = set()
    problems = []
    for key, node in nodes:
        _check_name(key, (*node.path, "key"))
        if key in seen:
            problems.append(Problem(node.path, f"Two steps have the key {key!r}"))
        seen.add(key)
    if problems:
        raise InvalidInput(problems)


def _open_parameter(node: StepNode, *, is_first: bool) -> str | None:
    missing = [name for name in node.definition.required if name not in node.given]
    if not missing:
        return None
    if is_first or len(missing) > 1:
        why = "nothing is piped into the first step" if is_first else "only one can be piped"
        message = f"Argument missing ({why})"
        raise InvalidInput([Problem((*node.path, name), message) for name in missing])
    return missing[0]


def _check_pipe(key: str, source: TaskDefinition, target: TaskDefinition, parameter: str) -> None:
    wanted = typing.get_type_hints(target.task.run)[parameter]
    offered = typing.get_type_hints(source.task.run)["return"]
    if not fits(offered, wanted):
        raise WorkflowTypeMismatch(
            key, f"{_name(wanted)} as {parameter!r}", f"{_name(offered)} from {source.name!r}"
        )


def fits(offered: Any, wanted: Any) -> bool:
    """Tell whether each value of one annotation is also one of the other."""
    offered, wanted = _bare(offered), _bare(wanted)
    if wanted is Any or offered == wanted:
        return True
    if _is_union(offered):
        return all(fits(member, wanted) for member in typing.get_args(offered))
    if _is_union(wanted):
        return any(fits(offered, member) for member in typing.get_args(wanted))
    if typing.get_origin(offered) is list and typing.get_origin(wanted) is list:
        return fits(typing.get_args(offered)[0], typing.get_args(wanted)[0])
    if offered is int and wanted is float:
        return True
    same_kind = isinstance(offered, type) and isinstance(wanted, type)
    return same_kind and issubclass(offered, wanted) and issubclass(wanted, BaseModel | Enum | str)


def _bare(annotation: Any) -> Any:
    is_annotated = typing.get_origin(annotation) is Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
