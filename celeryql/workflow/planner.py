"""Lays a canvas out into steps and joins, and checks it from end to end on the way."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from celeryql.definition.arguments import LONE_SURROGATE_ERROR
from celeryql.definition.json_values import find_unreadable
from celeryql.definition.options import Name
from celeryql.definition.task_definition import TaskDefinition
from celeryql.definition.type_compatibility import forbidden_fields, is_assignable, type_name
from celeryql.errors import InvalidInput, Problem, WorkflowTypeMismatch, problems_of
from celeryql.records import TaskId
from celeryql.state.graph import Join, Shape
from celeryql.workflow.canvas import GroupNode, Node, PlannedStep, StepNode, Workflow

_NAME: TypeAdapter[str | None] = TypeAdapter(Name | None)


def plan(name: str | None, canvas: Node, *, max_steps: int) -> Workflow:
    """Check a canvas from end to end, give each step its key and id, and lay out its joins.

    Raises:
        InvalidInput: no step or too many, a key given twice, arguments missing or unfit.
        WorkflowTypeMismatch: a value does not fit the argument that it is piped into.
    """
    layout = _Layout()
    layout.check_name(name, ("input", "name"))
    n = sum(1 for _ in _steps(canvas))
    if not 1 <= n <= max_steps:
        message = f"A workflow has 1 to {max_steps} steps, not {n}"
        raise InvalidInput([Problem(("input", "canvas"), message)])
    layout.place(canvas, (), None, None)
    layout.check_keys()
    if layout.problems:
        raise InvalidInput(layout.problems)
    if layout.mismatches:
        raise layout.mismatches[0]
    return Workflow(name, tuple(layout.steps), layout.joins())


def _steps(node: Node) -> Iterator[StepNode]:
    if isinstance(node, StepNode):
        yield node
    else:
        for child in node.nodes:
            yield from _steps(child)


@dataclass(frozen=True)
class _Value:
    """What a part of a canvas comes to: the ids that it is made of, its type, where it is from."""

    shape: Shape
    type: Any
    source: str


class _Layout:
    """The steps and joins of a canvas as they are laid out, and what is wrong with it."""

    def __init__(self) -> None:
        self.steps: list[PlannedStep] = []
        self.problems: list[Problem] = []
        self.mismatches: list[WorkflowTypeMismatch] = []
        self._shapes: list[Shape] = []

    def joins(self) -> tuple[Join, ...]:
        """Give the joins in the order of their numbers."""
        targets: list[list[TaskId]] = [[] for _ in self._shapes]
        for step in self.steps:
            if step.after is not None:
                targets[step.after].append(step.id)
        pairs = zip(self._shapes, targets, strict=True)
        return tuple(Join(value=shape, targets=tuple(ids)) for shape, ids in pairs)

    def place(
        self, node: Node, place: tuple[int, ...], handed: _Value | None, after: int | None
    ) -> _Value:
        """Lay out a node that is handed a value by the join `after`, and give its own value."""
        if isinstance(node, StepNode):
            return self._place_step(node, place, handed, after)
        if not node.nodes:
            self.problems.append(Problem(node.path, "It has no members"))
        if isinstance(node, GroupNode):
            return self._place_group(node, place, handed, after)
        value = _Value([], Any, "nothing")
        for i, child in enumerate(node.nodes):
            if i:
                self._shapes.append(value.shape)
                handed, after = value, len(self._shapes) - 1
            value = self.place(child, (*place, i), handed, after)
        return value

    def _place_group(
        self, group: GroupNode, place: tuple[int, ...], handed: _Value | None, after: int | None
    ) -> _Value:
        shapes: list[Shape] = []
        offered: list[Any] = []
        sources: list[str] = []
        for i, child in enumerate(group.nodes):
            value = self.place(child, (*place, i), handed, after)
            # As in Celery, a group right inside a group is one with it.
            is_part = isinstance(child, GroupNode)
            shapes += value.shape if is_part else [value.shape]
            offered += typing.get_args(value.type) if is_part else [value.type]
            sources.append(value.source)
        item = typing.Union[tuple(offered)] if offered else Any  # noqa: UP007  # made at run time
        return _Value(shapes, list[item], ", ".join(dict.fromkeys(sources)))  # type: ignore[valid-type]  # made at run time

    def _place_step(
        self, node: StepNode, place: tuple[int, ...], handed: _Value | None, after: int | None
    ) -> _Value:
        key = (".".join(map(str, place)) or "0") if node.key is None else node.key
        self.check_name(key, node.key_path)
        parameter = self._open_parameter(node, key, is_handed=handed is not None)
        self._check_given(node, key)
        if parameter and handed:
            self._check_pipe(key, node.definition, parameter, handed)
        step = PlannedStep(node, key, parameter, after)
        self.steps.append(step)
        return _Value(step.id, node.definition.output_type, repr(node.definition.name))

    def check_name(self, name: str | None, path: tuple[str, ...]) -> None:
        """Note what is wrong with a name that a caller made up."""
        try:
            _NAME.validate_python(name)
        except ValidationError as error:
            self.problems += problems_of(error, path)

    def check_keys(self) -> None:
        """Note each given key that another step has, too."""
        places = {step.key for step in self.steps if step.node.key is None}
        given: set[str] = set()
        for step in self.steps:
            if step.node.key is None:
                continue
            if step.key in places or step.key in given:
                message = f"Two steps have the key {step.key!r}"
                hint = ": a step without a key is named by its place" if step.key in places else ""
                self.problems.append(Problem(step.node.key_path, message + hint))
            given.add(step.key)

    def _open_parameter(self, node: StepNode, key: str, *, is_handed: bool) -> str | None:
        if len(node.missing_arguments) == 1 and is_handed:
            return node.missing_arguments[0]
        why = "only one can be piped" if is_handed else "nothing is piped into a first step"
        message = f"Step {key!r}: argument missing ({why})"
        self.problems += [Problem((*node.path, name), message) for name in node.missing_arguments]
        return None

    def _check_given(self, node: StepNode, key: str) -> None:
        try:
            json.dumps(node.arguments, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            self.problems.append(
                Problem(node.path, f"Step {key!r}: {LONE_SURROGATE_ERROR.message()}")
            )
            return
        if node.missing_arguments and (found := find_unreadable(node.arguments)):
            path = (*node.path, *map(str, found.path))
            self.problems.append(Problem(path, f"Step {key!r}: Value is {found.reason}"))
        try:
            node.definition.parse(node.arguments)
        except ValidationError as error:
            missing = {(*node.path, name) for name in node.missing_arguments}
            for problem in problems_of(error, node.path):
                if problem.path not in missing:  # those are for `_open_parameter` to judge
                    self.problems.append(Problem(problem.path, f"Step {key!r}: {problem.message}"))

    def _check_pipe(
        self, key: str, definition: TaskDefinition, parameter: str, handed: _Value
    ) -> None:
        wanted = definition.type_hints[parameter]
        if not is_assignable(handed.type, wanted):
            expected = f"{type_name(wanted)} as {parameter!r}"
            actual = f"{type_name(handed.type)} from {handed.source}"
            if names := forbidden_fields(handed.type, wanted):
                actual += f", with fields that it forbids ({', '.join(sorted(names))})"
            self.mismatches.append(WorkflowTypeMismatch(key, expected, actual))
