"""What is derived from a definition: refused where it could not be shown, numbers as they fit."""

from __future__ import annotations

import typing
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Annotated, Any

import pytest
from celery import Celery
from pydantic import BaseModel, Field, PositiveInt, field_serializer, field_validator

from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition
from celeryql.worker.task_class import TypedTask
from graphql_api.derived.models import DerivedModels, Role
from graphql_api.derived.names import SchemaNames
from graphql_api.derived.task_api import TaskApi
from graphql_api.types.scalars import BigInt

app = Celery("derived", task_cls=TypedTask, set_as_current=False)


class Priced(BaseModel):
    """Reads what it writes, which is no number."""

    price: Decimal

    @field_serializer("price")
    def _written(self, price: Decimal) -> str:
        return f"{price} EUR"

    @field_validator("price", mode="before")
    @classmethod
    def _read(cls, price: Any) -> Any:
        return str(price).removesuffix(" EUR")


@app.task(shared=False)
def give(n: int) -> Priced:
    """Give a price."""
    return Priced(price=Decimal(n))


@app.task(shared=False)
def take(priced: Priced) -> str:
    """Take a price."""
    return ""


def clones(*definitions: TaskDefinition) -> DerivedModels:
    return DerivedModels(SchemaNames(definitions))


@pytest.mark.parametrize("task", [give, take])
def test_a_task_whose_values_could_not_be_shown_is_refused(task):
    derivation = TaskApi(task.definition, clones(task.definition))

    with pytest.raises(BadTaskDefinition, match=r"what pydantic writes cannot be shown \(.*price"):
        derivation.check_examples()


def bare(annotation: Any) -> Any:
    """Take the limits off an annotation."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return parts[0]
    if origin is list:
        return list[bare(parts[0])]
    return reduce(or_, map(bare, parts)) if parts else annotation


WIDE = Annotated[int, Field(ge=0, le=2**40)]
SMALL = Annotated[int, Field(ge=-(2**31), lt=2**31)]


@pytest.mark.parametrize(
    ("annotation", "comes_in", "goes_out"),
    [
        (int, int, BigInt),
        (PositiveInt, int, BigInt),
        (SMALL, int, int),
        (WIDE, BigInt, BigInt),
        (Annotated[int, Field(ge=-(2**31) - 1, le=0)], BigInt, BigInt),
        (list[SMALL], list[int], list[int]),
        (list[WIDE], list[BigInt], list[BigInt]),
        (Annotated[int | None, Field(ge=0, le=9)], int | None, int | None),
        (bool, bool, bool),
    ],
)
def test_integers_are_as_large_as_their_limits_say(annotation, comes_in, goes_out):
    made = clones()

    assert made.annotation(annotation, Role.STEP) == comes_in
    assert bare(made.annotation(annotation, Role.RESULT)) == goes_out


def test_a_default_says_how_large_an_argument_may_be():
    class Limits(BaseModel):
        """Limits."""

        size: int = 2**33
        count: int = 3

    made = clones().of(Limits, Role.STEP, "Limits", "Limits.")

    assert made.model_fields["size"].annotation.__args__[0] is BigInt
    assert made.model_fields["count"].annotation.__args__[0] is int
