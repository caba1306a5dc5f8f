"""A task accepts every value whose type is assignable to its parameter."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import product
from typing import Annotated, Any
from uuid import UUID

import pytest
from celery import Celery
from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    computed_field,
    field_serializer,
)
from pydantic.alias_generators import to_camel

from celeryql.definition.task_definition import TaskDefinition
from celeryql.definition.type_compatibility import is_assignable
from celeryql.errors import BadTaskDefinition, WorkflowTypeMismatch
from celeryql.worker.task_class import TypedTask
from celeryql.workflow.canvas import ChainNode, StepNode
from celeryql.workflow.planner import plan


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Word(str, Enum):  # noqa: UP042  # the form before StrEnum existed
    A = "a"


class Level(IntEnum):
    LOW = 1


Money = Annotated[
    Decimal,
    BeforeValidator(lambda value: str(value).removesuffix(" EUR")),
    PlainSerializer(lambda value: f"{value} EUR", return_type=str),
]


class Animal(BaseModel):
    """Allows more than its fields."""

    name: str
    born: date | None = None


class Cat(Animal):
    """Has another field."""

    lives: int = 9


class Unborn(Animal):
    """Has a field of another type."""

    born: str = ""  # type: ignore[assignment]  # the error that is tested


class Shouting(Animal):
    """Has its own serializer, and reads the same values."""

    @field_serializer("born")
    def _born(self, born: date | None) -> str | None:
        return born and f"{born.isoformat()}"


class Closed(BaseModel):
    """Forbids other fields."""

    model_config = ConfigDict(extra="forbid")

    size: int


class ClosedMore(Closed):
    """Has a field that its base forbids."""

    more: int = 1


class Computed(BaseModel):
    """Forbids its own computed field as input."""

    model_config = ConfigDict(extra="forbid")

    size: int

    @computed_field
    def double(self) -> int:
        """Its size, twice."""
        return self.size * 2


class Aged(Animal):
    """Computes a field that its base lacks."""

    @computed_field
    def age(self) -> int:
        """Its age."""
        return 1


class ClosedAnimal(BaseModel):
    """Forbids other fields, unlike its subclass."""

    model_config = ConfigDict(extra="forbid")

    name: str


class Named(ClosedAnimal):
    """Allows other fields, unlike its base."""

    model_config = ConfigDict(extra="ignore")

    @computed_field
    def initial(self) -> str:
        """Its first letter."""
        return self.name[:1]


class Open(Animal):
    """Holds anything."""

    model_config = ConfigDict(extra="allow")


class Exact(BaseModel):
    """Reads a date from JSON text, and from no other string."""

    model_config = ConfigDict(strict=True, alias_generator=to_camel, frozen=True)

    first_at: datetime
    price: Decimal
    colour: Colour
    days: tuple[date, ...]
    level: Level = Field(default=Level.LOW, validation_alias=AliasPath("a", "b"))
    key: UUID
    closed: Closed | None


class Priced(BaseModel):
    """Has prices."""

    price: Money


TYPES: list[Any] = [
    bool, int, float, str, datetime, date, time, Decimal, UUID, Colour, Word, Level, Money,
    Annotated[float, Strict()], Annotated[Decimal, Strict()], Annotated[datetime, Strict()],
    int | None, float | None, Colour | None, Closed | None, type(None),
    list[int], list[float], tuple[float, ...], list[int | None], list[list[int]],
    Animal, Cat, Unborn, Shouting, Closed, ClosedMore, Computed, Open, Exact, Priced,
    Aged, ClosedAnimal, Named,
    list[Cat], list[Animal], list[Closed], list[Computed], list[Animal | Cat],
]  # fmt: skip


def definition(name: str, annotations: dict[str, Any], **options: Any) -> TaskDefinition:
    def run(x: Any = None) -> Any:
        """Doc."""

    run.__annotations__ = annotations
    run.__defaults__ = None
    app = Celery(name, task_cls=TypedTask, set_as_current=False)
    made: Any = app.task(shared=False, name=name, **options)(run)
    app.finalize()
    assert made.definition is not None
    found: TaskDefinition = made.definition
    return found


def is_input(annotation: Any) -> bool:
    return annotation is not type(None) and annotation != list[Animal | Cat]


@pytest.fixture(scope="module")
def sources() -> list[TaskDefinition]:
    return [definition(f"give{i}", {"x": int, "return": type_}) for i, type_ in enumerate(TYPES)]


@pytest.fixture(scope="module")
def targets() -> list[TaskDefinition]:
    wanted = [type_ for type_ in TYPES if is_input(type_)]
    return [definition(f"take{i}", {"x": t, "return": int}) for i, t in enumerate(wanted)]


def test_assignable_values_are_always_accepted(sources, targets):
    tried = 0
    for source, target in product(sources, targets):
        if not is_assignable(source.output_type, target.type_hints["x"]):
            continue
        for example in source.examples.results:
            result = source.dump_result(
                source.result.validate_python(example, strict=False, by_name=True)
            )
            target.bind((result.value,), {})
            tried += 1

    assert tried > 150


def test_each_type_is_assignable_to_itself():
    assert [type_ for type_ in TYPES if not is_assignable(type_, type_)] == []


@pytest.mark.parametrize(
    ("offered", "wanted", "expected"),
    [
        (Cat, Animal, True),
        (Open, Animal, True),
        (Shouting, Animal, False),
        (Unborn, Animal, False),
        (ClosedMore, Closed, False),
        (Named, ClosedAnimal, False),
        (Aged, Animal, True),
        (Word, str, True),
        (Level, int, False),
        (Money, Decimal, False),
        (Money, Money, True),
        (Decimal, Money, True),
        (list[Animal | Cat], list[Animal], True),
        (type(None), int | None, True),
        (type(None), int, False),
    ],
)
def test_a_model_is_assignable_if_its_json_is_valid(offered, wanted, expected):
    assert is_assignable(offered, wanted) is expected


def step(task: TaskDefinition, **given: Any) -> StepNode:
    return StepNode(None, task, given, ("input",))


def test_a_task_that_ignores_its_result_passes_on_none():
    quiet = definition("quiet", {"x": int, "return": int}, ignore_result=True)
    strict, lenient = (
        definition(name, {"x": type_, "return": int})
        for name, type_ in (("strict", int), ("lenient", int | None))
    )

    with pytest.raises(WorkflowTypeMismatch, match="takes int as 'x', but receives None from"):
        plan(None, ChainNode((step(quiet, x=1), step(strict))), max_steps=9)
    assert plan(None, ChainNode((step(quiet, x=1), step(lenient))), max_steps=9).steps


def test_a_model_that_forbids_computed_fields_names_them():
    give = definition("give", {"x": int, "return": Named})
    take = definition("take", {"x": ClosedAnimal, "return": int})

    with pytest.raises(WorkflowTypeMismatch) as caught:
        plan(None, ChainNode((step(give, x=1), step(take))), max_steps=9)

    assert caught.value.actual == "Named from 'give', with fields that it forbids (initial)"


def test_computed_fields_are_kept_unless_their_model_forbids_them():
    open_, closed = (
        definition(name, {"x": int, "return": type_})
        for name, type_ in (("o", Aged), ("c", Computed))
    )

    assert open_.dump_result(Aged(name="Ann")).value == {"name": "Ann", "born": None, "age": 1}
    assert closed.dump_result(Computed(size=2)).value == {"size": 2}


def test_a_task_with_its_own_serializer_is_refused():
    with pytest.raises(BadTaskDefinition, match="workers accept JSON only, not pickle"):
        definition("pickled", {"x": int, "return": int}, serializer="pickle")
