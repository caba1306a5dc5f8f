"""A task's signature as models, and how the arguments of a call find their parameters."""

from __future__ import annotations

from typing import Annotated

import pytest
from celery import Celery, Task
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from celeryql.definition.sensitive import Sensitive
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import InvalidArguments, InvalidResult, problems_of
from celeryql.worker.task_class import TypedTask
from tasks.arithmetic import add

app = Celery("typed", task_cls=TypedTask, set_as_current=False)


class Box(BaseModel):
    """Something with a size."""

    size: int


@app.task(shared=False, bind=True)
def pack(
    self: Task,
    box: Box,
    label: Annotated[str, Field(max_length=5)] = "none",
    key: Annotated[str | None, Sensitive] = None,
) -> list[Box]:
    """Put a box in a box."""
    return [box]


def definition(task: Task) -> TaskDefinition:
    assert task.definition is not None
    return task.definition


def test_a_signature_becomes_a_model():
    found = definition(pack)

    assert found.name == "pack"
    assert found.description == "Put a box in a box."
    assert list(found.arguments.model_fields) == ["box", "label", "key"]
    assert found.required_parameters == ["box"]
    assert found.sensitive == {"key"}


def test_arguments_are_validated_and_keep_their_types():
    bound = definition(pack).bind(({"size": "3"},), {"label": "a"})

    assert bound.box == Box(size=3)


@pytest.mark.parametrize(
    ("args", "kwargs", "x", "y"),
    [
        ((1, 2), {}, 1, 2),
        ((1,), {"y": 2}, 1, 2),
        ((2,), {"x": 1}, 1, 2),
        ((), {"x": 1, "y": 2}, 1, 2),
    ],
)
def test_a_single_positional_argument_fills_the_missing_parameter(args, kwargs, x, y):
    bound = definition(add).bind(args, kwargs)

    assert (bound.x, bound.y) == (x, y)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {"x": 1}, "y: Field required"),
        ((1, 2, 3), {}, "takes 2 arguments, not 3"),
        ((1, 2), {"x": 3}, "x given twice"),
        ((), {"x": 1, "y": 2, "z": 3}, "z: Extra inputs are not permitted"),
        ((), {"x": "one", "y": 2}, "x: Input should be a valid number"),
    ],
)
def test_wrong_arguments_are_named_in_the_error(args, kwargs, message):
    with pytest.raises(InvalidArguments, match=message):
        definition(add).bind(args, kwargs)


def test_an_error_of_the_whole_result_has_no_path():
    with pytest.raises(InvalidResult) as caught:
        definition(add).dump_result("a lot")

    assert str(caught.value).startswith(
        "add returned a wrong value: Result should be a valid number"
    )


class Pair(BaseModel):
    """Two numbers that must differ."""

    one: int
    other: int

    @field_validator("other")
    @classmethod
    def _differs(cls, other: int, info: ValidationInfo) -> int:
        if other == info.data.get("one"):
            raise ValueError("take another")
        return other


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        (
            Annotated[tuple[int, ...], Field(max_length=1)],
            [1, 2],
            "List should have at most 1 item, not 2",
        ),
        (Annotated[list[int], Field(min_length=1)], [], "List should have at least 1 item, not 0"),
        (
            Annotated[str, Field(max_length=9)],
            "\ud800",
            "String should be Unicode, without a lone surrogate",
        ),
        (Box, None, "Value should not be null"),
        (float, None, "Value should not be null"),
        (Pair, {"one": 1, "other": 1}, "take another"),
    ],
)
def test_problems_do_not_mention_python_types(type_, value, message):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(type_).validate_python(value)

    assert [problem.message for problem in problems_of(caught.value)] == [message]


def test_an_error_does_not_quote_the_values():
    with pytest.raises(InvalidArguments) as caught:
        definition(pack).bind((), {"box": "secret-value"})

    assert "secret-value" not in str(caught.value)


def test_public_arguments_leave_out_sensitive_values():
    found = definition(pack)
    bound = found.bind(({"size": 1},), {"key": "secret"})

    assert found.public_arguments(bound) == {"box": {"size": 1}, "label": "none"}
