"""How the types of a task are derived, and which tasks the API refuses."""

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
    """Serializes a number as text that the type of the field cannot read."""

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


def models_of(*definitions: TaskDefinition) -> DerivedModels:
    return DerivedModels(SchemaNames(definitions))


@pytest.mark.parametrize("task", [give, take])
def test_a_task_whose_values_cannot_be_read_back_is_refused(task):
    task_api = TaskApi(task.definition, models_of(task.definition))

    with pytest.raises(
        BadTaskDefinition, match=r"what pydantic writes cannot be read back \(.*price"
    ):
        task_api.check_examples()


def bare(annotation: Any) -> Any:
    """Remove the limits from an annotation."""
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
def test_the_limits_of_an_integer_decide_between_int_and_big_int(annotation, comes_in, goes_out):
    models = models_of()

    assert models.replace_models(annotation, Role.STEP) == comes_in
    assert bare(models.replace_models(annotation, Role.RESULT)) == goes_out


def test_a_large_default_makes_an_argument_a_big_int():
    class Limits(BaseModel):
        """Limits."""

        size: int = 2**33
        count: int = 3

    models = models_of().derive(Limits, Role.STEP, "Limits", "Limits.")

    assert models.model_fields["size"].annotation.__args__[0] is BigInt
    assert models.model_fields["count"].annotation.__args__[0] is int
