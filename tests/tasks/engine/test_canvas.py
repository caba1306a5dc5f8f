"""Canvases: what is checked before anything is sent."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from tasks.arithmetic import add, mul
from tasks.email import send_email
from tasks.engine.canvas import ChainNode, StepNode, fits, plan
from tasks.engine.errors import InvalidInput, WorkflowTypeMismatch
from tasks.general import echo


class Colour(StrEnum):
    RED = "red"


class Animal(BaseModel):
    name: str


class Cat(Animal):
    pass


def step(task: Any, key: str | None = None, **given: Any) -> StepNode:
    return StepNode(key, task.definition, given, ("input", task.definition.name))


def chain(*nodes: Any) -> ChainNode:
    return ChainNode(nodes)


def test_each_step_of_a_chain_waits_for_the_one_before():
    workflow = plan("sum", chain(step(add, x=4, y=5), step(add, x=6), step(mul, y=7)), max_steps=3)

    assert [planned.step.key for planned in workflow.steps] == ["0", "1", "2"]
    assert [planned.step.depends_on for planned in workflow.steps] == [(), ("0",), ("1",)]
    assert [planned.open_parameter for planned in workflow.steps] == [None, "y", "x"]
    assert len({planned.step.id for planned in workflow.steps}) == 3


def test_nested_chains_are_one_chain_whose_keys_are_paths():
    workflow = plan(None, chain(step(add, x=1, y=2), chain(step(add, "own", x=1))), max_steps=9)

    assert [planned.step.key for planned in workflow.steps] == ["0", "own"]


def test_a_step_with_all_its_arguments_takes_nothing_from_before():
    workflow = plan(None, chain(step(add, x=1, y=2), step(echo, message="done")), max_steps=9)

    assert workflow.steps[1].open_parameter is None
    assert workflow.steps[1].signature().immutable


@pytest.mark.parametrize(
    ("canvas", "message"),
    [
        (chain(), "1 to 3 steps, not 0"),
        (chain(*[step(add, x=1, y=1)] * 4), "1 to 3 steps, not 4"),
        (chain(step(add, "a", x=1, y=1), step(add, "a", x=1)), "Two steps have the key 'a'"),
        (chain(step(add, "1", x=1, y=1), step(add, x=1)), "Two steps have the key '1'"),
        (chain(step(add, x=1)), "nothing is piped into the first step"),
        (chain(step(add, x=1, y=1), step(add)), "only one can be piped"),
        (chain(step(add, x="one", y=1)), "valid number"),
        (chain(step(echo, message="x" * 9_000)), "at most 8192 characters"),
        (chain(step(add, x=1, y=1, z=2)), "Extra inputs"),
    ],
)
def test_a_canvas_that_cannot_run_is_refused(canvas, message):
    with pytest.raises(InvalidInput) as caught:
        plan(None, canvas, max_steps=3)

    assert message in str(caught.value)


def test_every_problem_of_a_canvas_is_reported_at_once():
    with pytest.raises(InvalidInput) as caught:
        plan(None, chain(step(add, x="a", y="b"), step(add, x="c")), max_steps=3)

    assert [problem.path for problem in caught.value.problems] == [
        ("input", "add", "x"), ("input", "add", "y"), ("input", "add", "x"),
    ]  # fmt: skip


def test_a_value_that_does_not_fit_is_named_with_both_types():
    canvas = chain(step(add, x=4, y=5), step(send_email, "mail", subject="Sum", text="?"))

    with pytest.raises(WorkflowTypeMismatch) as caught:
        plan(None, canvas, max_steps=3)

    assert caught.value.step_key == "mail"
    assert "float" in caught.value.actual
    assert "str" in caught.value.expected


@pytest.mark.parametrize(
    ("offered", "wanted", "fit"),
    [
        (int, float, True),
        (float, int, False),
        (int, Annotated[float, Field(ge=0)], True),
        (str, float, False),
        (float, str, False),
        (float, float | None, True),
        (float | None, float, False),
        (int | None, float | None, True),
        (list[int], list[float], True),
        (list[str], list[float], False),
        (float, Any, True),
        (Colour, str, True),
        (str, Colour, False),
        (Cat, Animal, True),
        (Animal, Cat, False),
        (bool, int, False),
    ],
)
def test_types_fit_where_every_value_does(offered, wanted, fit):
    assert fits(offered, wanted) is fit
