"""Example values of annotations, and which models are refused because of them."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from celery import Celery
from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    TypeAdapter,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from tasks.engine.errors import BadTaskDefinition
from tasks.engine.examples import examples, written
from tasks.engine.typed import TypedTask


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Camel(BaseModel):
    """Has aliases that are made, and takes no other names."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", serialize_by_alias=True)

    row_count: int
    other: int = Field(default=1, serialization_alias="something_else")
    deep: int = Field(default=2, validation_alias=AliasPath("x", "y"))

    @computed_field
    def area(self) -> int:
        """Something that is computed."""
        return self.row_count * 2


class Strict(BaseModel):
    """Takes nothing but its types."""

    model_config = ConfigDict(strict=True, frozen=True, use_enum_values=True)

    at: datetime
    days: tuple[date, ...]
    price: Annotated[Decimal, Field(ge=0, multiple_of=Decimal("0.5"))]
    colour: Colour
    key: UUID
    noon: time
    camel: Camel | None


class Words(BaseModel):
    """Writes some fields otherwise, in ways that it reads."""

    price: Annotated[Decimal, PlainSerializer(float, return_type=float)]
    cost: Annotated[Decimal, BeforeValidator(lambda v: str(v).removesuffix(" EUR"))]
    at: datetime

    @field_serializer("cost")
    def _cost(self, cost: Decimal) -> str:
        return f"{cost} EUR"

    @field_serializer("at")
    def _at(self, at: datetime) -> float:
        return at.timestamp()


class Swapped(BaseModel):
    """Names each field as the other."""

    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Priced(BaseModel):
    """Writes what it does not read."""

    price: Decimal

    @field_serializer("price")
    def _price(self, price: Decimal) -> str:
        return f"{price} EUR"


class Whole(BaseModel):
    """Is written as something else."""

    size: int

    @model_serializer
    def _whole(self) -> str:
        return str(self.size)


class Growing(BaseModel):
    """Becomes another each time it is read."""

    text: Annotated[str, AfterValidator(lambda text: text + "!")]


class Forgetful(BaseModel):
    """Leaves a field out."""

    size: int = 1
    key: str = Field(default="", exclude=True)


class Pair(Enum):
    RED = (255, 0)


class Dates(Enum):
    FIRST = date(2024, 1, 1)
    SAME = "2024-01-01"


class Undecided(BaseModel):
    """Has a validator that no example satisfies, and one that fails."""

    text: str

    @field_validator("text")
    @classmethod
    def _known(cls, text: str, _: ValidationInfo) -> str:
        return {"a secret": text}[text]


def declare(parameter: Any, result: Any) -> None:
    """Declare a task with a parameter and a result of these types."""

    def f(x: Any) -> Any:
        """Doc."""

    f.__annotations__ = {"x": parameter, "return": result}
    app = Celery("odd", task_cls=TypedTask, set_as_current=False)
    app.task(shared=False, name="kitchen.f")(f)
    app.finalize()


@pytest.mark.parametrize("type_", [Camel, Strict, Words, list[Camel], Undecided, Colour])
def test_models_whose_dumps_can_be_read_are_taken(type_):
    declare(type_, type_)


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        (Swapped, "pydantic does not read back what it writes of Swapped (it is read as another"),
        (Priced, "pydantic does not read back what it writes of Priced (price: Input should be a"),
        (list[Whole], "pydantic does not read back what it writes of Whole (Input should be an"),
        (Growing, "pydantic does not read back what it writes of Growing (it is read as another"),
        (Forgetful, "field 'key' of Forgetful has `exclude`, so that its value would be lost"),
        (Pair, "parameter 'x' is an enum whose member RED cannot be read back from the JSON that"),
        (Dates, "parameter 'x' is an enum whose member FIRST cannot be read back from the JSON"),
    ],
)
def test_models_whose_dumps_cannot_be_read_are_refused(type_, reason):
    with pytest.raises(BadTaskDefinition) as caught:
        declare(type_, str)

    assert str(caught.value).startswith(f"Task 'kitchen.f' cannot be offered: {reason}")
    assert "\n" not in str(caught.value)


def test_a_result_is_checked_as_arguments_are():
    with pytest.raises(BadTaskDefinition, match="writes of Priced"):
        declare(str, Priced | None)
    with pytest.raises(BadTaskDefinition, match="writes of the result"):
        declare(str, Annotated[int, PlainSerializer(lambda n: f"#{n}", return_type=str)])


@pytest.mark.parametrize(
    "annotation",
    [
        bool,
        Annotated[int, Field(ge=3, le=5)],
        Annotated[int, Field(lt=-2, multiple_of=2)],
        Annotated[float, Field(gt=0, lt=1)],
        Annotated[Decimal, Field(max_digits=5, decimal_places=2, ge=1)],
        Annotated[str, Field(min_length=3, max_length=4)],
        Annotated[list[PositiveInt], Field(min_length=2, max_length=2)],
        Colour | None,
        Strict,
    ],
)
def test_examples_keep_limits(annotation):
    made = examples(annotation)

    assert len(made) == 4
    assert made == examples(annotation)
    assert written(TypeAdapter(annotation), annotation)


def test_fields_are_written_by_their_names_and_read_by_their_aliases_too():
    (first, *_) = written(TypeAdapter(Camel), Camel)

    assert first == {"row_count": 1, "other": 0, "deep": 2}
