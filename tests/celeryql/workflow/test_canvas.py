"""How a canvas is checked and planned, before any message is sent."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from celeryql.definition.type_compatibility import is_assignable, type_name
from celeryql.errors import InvalidInput, WorkflowTypeMismatch
from celeryql.records import Priority
from celeryql.workflow.canvas import ChainNode, GroupNode, StepNode, chord
from celeryql.workflow.planner import plan
from tasks.arithmetic import add, mul
from tasks.email import send_email
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


def group(*nodes: Any) -> GroupNode:
    return GroupNode(nodes)


def test_each_step_of_a_chain_waits_for_the_previous_step():
    workflow = plan("sum", chain(step(add, x=4, y=5), step(add, x=6), step(mul, y=7)), max_steps=3)

    assert [planned.key for planned in workflow.steps] == ["0", "1", "2"]
    first, second, third = (planned.id for planned in workflow.steps)
    assert [(j.value, j.targets) for j in workflow.joins] == [
        (first, (second,)),
        (second, (third,)),
    ]
    assert [planned.open_parameter for planned in workflow.steps] == [None, "y", "x"]
    assert len({planned.id for planned in workflow.steps}) == 3


def test_a_chain_in_a_chain_is_merged_and_its_keys_are_paths():
    workflow = plan(None, chain(step(add, x=1, y=2), chain(step(add, "own", x=1))), max_steps=9)

    assert [planned.key for planned in workflow.steps] == ["0", "own"]


def test_a_step_with_all_its_arguments_receives_no_piped_value():
    workflow = plan(None, chain(step(add, x=1, y=2), step(echo, message="done")), max_steps=9)

    assert workflow.steps[1].open_parameter is None
    assert workflow.steps[1].signature(workflow.id, Priority.NORMAL).immutable


@pytest.mark.parametrize(
    ("canvas", "message"),
    [
        (chain(), "1 to 3 steps, not 0"),
        (chain(group(), step(add, x=1, y=1)), "A chain or group must have at least one member"),
        (chain(*[step(add, x=1, y=1)] * 4), "1 to 3 steps, not 4"),
        (chain(step(add, "a", x=1, y=1), step(add, "a", x=1)), "Two steps have the key 'a'"),
        (chain(step(add, "1", x=1, y=1), step(add, x=1)), "Two steps have the key '1'"),
        (chain(step(add, x=1)), "nothing is piped into a first step"),
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


@pytest.mark.parametrize(
    "canvas",
    [
        chain(step(add, "1", x=1, y=1), step(add, x=1)),
        chain(step(add, x=1, y=1), step(add, "0", x=1)),
    ],
)
def test_a_key_that_equals_the_position_of_another_step_is_refused(canvas):
    """The problem names the given key, because the caller cannot rename a step without one."""
    given = next(node for node in canvas.nodes if node.key)

    with pytest.raises(InvalidInput) as caught:
        plan(None, canvas, max_steps=3)

    (problem,) = caught.value.problems
    assert problem.path == given.key_path
    assert problem.message.endswith("a step without a key is named by its position")


def test_a_type_mismatch_names_both_types():
    canvas = chain(step(add, x=4, y=5), step(send_email, "mail", subject="Sum", text="?"))

    with pytest.raises(WorkflowTypeMismatch) as caught:
        plan(None, canvas, max_steps=3)

    assert caught.value.step_key == "mail"
    assert "float" in caught.value.actual
    assert "str" in caught.value.expected


def shapes(workflow: Any) -> list[Any]:
    """Return each join with keys instead of ids: its value, and its targets."""
    keys = {planned.id: planned.key for planned in workflow.steps}

    def named(value: Any) -> Any:
        return keys[value] if isinstance(value, str) else [named(part) for part in value]

    return [
        (named(join.value), [keys[target] for target in join.targets]) for join in workflow.joins
    ]


ADDRESSES = group(step(echo, "a", message="a@x.org"), step(echo, "b", message="b@x.org"))
MAIL = step(send_email, "mail", subject="Hello", text="...")


@pytest.mark.parametrize("canvas", [chord(ADDRESSES, MAIL), chain(ADDRESSES, MAIL)])
def test_a_chord_passes_the_list_of_its_results_to_its_body(canvas):
    workflow = plan(None, canvas, max_steps=9)

    assert shapes(workflow) == [(["a", "b"], ["mail"])]
    assert workflow.steps[2].open_parameter == "to"


def test_a_value_piped_into_a_group_goes_to_each_member():
    members = group(step(add, "l", x=1), chain(step(mul, "m", y=2), step(add, "n", x=1)))

    workflow = plan(None, chain(step(add, "first", x=1, y=2), members), max_steps=9)

    assert shapes(workflow) == [("first", ["l", "m"]), ("m", ["n"])]


def test_a_group_before_a_group_is_one_join():
    canvas = chain(ADDRESSES, group(MAIL, step(echo, "done", message="sent")))

    assert shapes(plan(None, canvas, max_steps=9)) == [(["a", "b"], ["mail", "done"])]


def test_only_a_group_directly_in_a_group_is_merged_into_it():
    last = step(echo, "last", message="end")
    inner = chain(step(add, "x", x=1, y=1), group(step(add, "y", x=1), step(add, "z", x=1)))

    flat = plan(None, chain(group(ADDRESSES, step(echo, "c", message="c")), last), max_steps=9)
    nested = plan(None, chain(group(inner, step(echo, "c", message="c")), last), max_steps=9)

    assert shapes(flat)[-1] == (["a", "b", "c"], ["last"])
    assert shapes(nested)[-1] == ([["y", "z"], "c"], ["last"])


def test_a_group_of_one_member_returns_a_list():
    canvas = chain(group(step(add, "a", x=1, y=1)), step(add, "b", x=1))

    with pytest.raises(
        WorkflowTypeMismatch, match=r"takes float as 'y', but receives list\[float\]"
    ):
        plan(None, canvas, max_steps=9)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (Annotated[float, Field(ge=0)], "float"),
        (list[Annotated[int, Field(ge=0)]], "list[int]"),
        (list[float | str], "list[float | str]"),
        (Colour | None, "Colour | None"),
    ],
)
def test_a_type_name_leaves_out_limits(annotation, name):
    assert type_name(annotation) == name


@pytest.mark.parametrize(
    ("offered", "wanted", "expected"),
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
        (list[int | float], list[float], True),
        (list[int | str], list[float], False),
        (list[list[int]], list[list[float]], True),
        (list[int], tuple[int, ...], True),
        (list[int], list, True),
        (float, Any, True),
        (Colour, str, True),
        (str, Colour, False),
        (Cat, Animal, True),
        (Animal, Cat, False),
        (bool, int, False),
    ],
)
def test_a_type_is_assignable_if_each_of_its_values_is_valid(offered, wanted, expected):
    assert is_assignable(offered, wanted) is expected
