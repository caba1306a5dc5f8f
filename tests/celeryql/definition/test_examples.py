"""Example values of annotations, and which types are refused because of them."""

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
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PositiveInt,
    PrivateAttr,
    TypeAdapter,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from celeryql.definition.examples import json_examples, make_examples
from celeryql.definition.json_values import DUMP_OPTIONS
from celeryql.errors import BadTaskDefinition
from celeryql.worker.task_class import TypedTask


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Camel(BaseModel):
    """Has generated aliases, and forbids other names."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", serialize_by_alias=True)

    row_count: int
    other: int = Field(default=1, serialization_alias="something_else")
    deep: int = Field(default=2, validation_alias=AliasPath("x", "y"))

    @computed_field
    def area(self) -> int:
        """A computed field."""
        return self.row_count * 2


class Strict(BaseModel):
    """Accepts only exact types."""

    model_config = ConfigDict(strict=True, frozen=True, use_enum_values=True)

    at: datetime
    days: tuple[date, ...]
    price: Annotated[Decimal, Field(ge=0, multiple_of=Decimal("0.5"))]
    colour: Colour
    key: UUID
    noon: time
    camel: Camel | None


def aware(at: datetime) -> datetime:
    """Refuse a time without a zone."""
    if at.tzinfo is None:
        raise ValueError("needs a time zone")
    return at


class Words(BaseModel):
    """Has serializers whose output it reads."""

    price: Annotated[Decimal, PlainSerializer(float, return_type=float)]
    cost: Annotated[Decimal, BeforeValidator(lambda v: str(v).removesuffix(" EUR"))]
    at: Annotated[datetime, AfterValidator(aware)]
    there: datetime

    @field_serializer("cost")
    def _cost(self, cost: Decimal) -> str:
        return f"{cost} EUR"

    @field_serializer("at")
    def _at(self, at: datetime) -> float:
        return at.timestamp()

    @field_serializer("there")
    def _there(self, there: datetime) -> str:
        return there.isoformat()


class Swapped(BaseModel):
    """Has two fields whose aliases are swapped."""

    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Priced(BaseModel):
    """Has a serializer whose output it does not read."""

    price: Decimal

    @field_serializer("price")
    def _price(self, price: Decimal) -> str:
        return f"{price} EUR"


class Whole(BaseModel):
    """Is dumped to a text."""

    size: int

    @model_serializer
    def _whole(self) -> str:
        return str(self.size)


class Growing(BaseModel):
    """Changes each time it is read."""

    text: Annotated[str, AfterValidator(lambda text: text + "!")]


class Forgetful(BaseModel):
    """Excludes a field from the dump."""

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
def test_types_that_survive_json_are_accepted(type_):
    declare(type_, type_)


UNREADABLE = "pydantic cannot read back the JSON that it writes for"


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        (Swapped, f"{UNREADABLE} Swapped (a: it is read as another"),
        (Priced, f"{UNREADABLE} Priced (price: Input should be a"),
        (list[Whole], f"{UNREADABLE} Whole (Input should be an"),
        (Growing, f"{UNREADABLE} Growing (text: it is read as another"),
        (Forgetful, "field 'key' of Forgetful has `exclude`, which loses its value"),
        (Pair, "parameter 'x' is an enum whose member RED cannot be read back from the JSON that"),
        (Dates, "parameter 'x' is an enum whose member FIRST cannot be read back from the JSON"),
    ],
)
def test_types_that_do_not_survive_json_are_refused(type_, reason):
    with pytest.raises(BadTaskDefinition) as caught:
        declare(type_, str)

    assert str(caught.value).startswith(f"Task 'kitchen.f' cannot be exposed: {reason}")
    assert "\n" not in str(caught.value)


def test_results_are_checked_like_arguments():
    with pytest.raises(BadTaskDefinition, match="writes for Priced"):
        declare(str, Priced | None)
    with pytest.raises(BadTaskDefinition, match="writes for the result"):
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
    made = make_examples(annotation)

    assert len(made) == 6
    assert made == make_examples(annotation)
    assert json_examples(TypeAdapter(annotation), annotation, DUMP_OPTIONS)


def test_fields_are_dumped_by_name_and_read_by_alias_too():
    (first, *_) = json_examples(TypeAdapter(Camel), Camel, DUMP_OPTIONS)

    assert first == {"row_count": 1, "other": 0, "deep": 2}


class Dropping(BaseModel):
    """Does not dump a field with a default."""

    a: int
    b: int = 3

    @model_serializer
    def _some(self) -> dict[str, int]:
        return {"a": self.a}


class Choosing(BaseModel):
    """Computes a field that it reads as another one."""

    first: str = Field(validation_alias=AliasChoices("label", "first"))

    @computed_field
    def label(self) -> str:
        """In capitals."""
        return self.first.upper()


class Typed(BaseModel):
    """Computes a text under a name from which it reads a number."""

    a: int = Field(alias="x")

    @computed_field
    def x(self) -> str:
        """A text."""
        return f"no. {self.a}"


class Named(BaseModel):
    """Declares an example that is too short to show the loss."""

    code: Annotated[str, PlainSerializer(lambda text: text[:8])] = Field(examples=["ab-1"])


class Addressed(BaseModel):
    """Has a field that few texts match, and a lossy field."""

    to: Annotated[str, Field(pattern="^[^@ ]+@[^@ ]+$")]
    size: PositiveInt
    note: Annotated[str, PlainSerializer(lambda text: text[:250])]


class Kept(BaseModel):
    """Has a private attribute, and fields that are all read back."""

    size: int | None
    at: Annotated[datetime, PlainSerializer(lambda at: at.isoformat())]
    price: Annotated[Decimal, PlainSerializer(str)]
    names: Annotated[list[str], PlainSerializer(tuple)]
    _made: object = PrivateAttr(default_factory=object)

    @computed_field
    def double(self) -> int:
        """A computed field that no field reads."""
        return 2 * (self.size or 0)


@pytest.mark.parametrize(
    "lossy",
    [
        Annotated[str, PlainSerializer(lambda text: text[:5])],
        Annotated[str, PlainSerializer(lambda text: text[:255])],
        Annotated[str, PlainSerializer(lambda _: "***")],
        Annotated[str, PlainSerializer(str.strip)],
        Annotated[str, PlainSerializer(str.lower)],
        Annotated[str | None, PlainSerializer(lambda text: text and text[:20])],
        Annotated[str | None, PlainSerializer(lambda text: text or "", return_type=str)],
        Annotated[float, PlainSerializer(lambda number: round(number, 1))],
        Annotated[float, PlainSerializer(lambda number: round(number, 6))],
        Annotated[float, Field(ge=0, le=0.1), PlainSerializer(lambda number: round(number, 3))],
        Annotated[Decimal, Field(decimal_places=2), PlainSerializer(lambda n: round(n, 1))],
        Annotated[int, Field(ge=0), PlainSerializer(lambda number: min(number, 1000))],
        Annotated[datetime, PlainSerializer(lambda at: at.timestamp())],
        Annotated[datetime, PlainSerializer(lambda at: at.isoformat(timespec="milliseconds"))],
        Annotated[datetime, PlainSerializer(lambda at: at.replace(tzinfo=None).isoformat())],
        Annotated[list[int], PlainSerializer(lambda items: items[:3])],
        Dropping,
        Named,
        Addressed,
    ],
)
def test_a_lossy_serializer_is_refused(lossy):
    with pytest.raises(BadTaskDefinition, match="it is read as another value"):
        declare(lossy, str)


@pytest.mark.parametrize(
    ("type_", "reason"),
    [(Choosing, "first: it is read as another value"), (Typed, "x: Input should be a valid int")],
)
def test_a_computed_field_that_another_field_reads_is_refused_in_results(type_, reason):
    declare(type_, str)  # computed fields of arguments are not dumped

    with pytest.raises(BadTaskDefinition, match=reason):
        declare(str, list[type_])


def test_private_and_computed_attributes_need_not_survive():
    declare(Kept, Kept | None)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[float, Field(gt=0, lt=0.001)],
        Annotated[int, Field(ge=7, le=7)],
        Annotated[float, Field(le=-100)],
        Annotated[Decimal, Field(max_digits=3)],
        Annotated[Decimal, Field(max_digits=6, decimal_places=2)],
        Annotated[Decimal, Field(decimal_places=0)],
    ],
)
def test_narrow_limits_have_examples(annotation):
    assert len(json_examples(TypeAdapter(annotation), annotation, DUMP_OPTIONS)) >= 3
