"""Which signatures a task may have, and the sentence that refuses any other."""

from __future__ import annotations

import pytest
from celery import Celery

from celeryql.definition.signature import RESERVED_NAMES
from celeryql.errors import BadTaskDefinition
from celeryql.worker.task_class import TypedTask

MODULE = '''
from enum import Enum
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar
from pydantic import BaseModel, Field, RootModel
T = TypeVar("T")
class Box(BaseModel):
    """A box."""
    size: int
class Bag(BaseModel):
    """A bag."""
    weight: int
class Tree(BaseModel):
    """A tree."""
    branches: "list[Tree]"
class Lost(BaseModel):
    """Refers to a name that is not defined."""
    place: "Nowhere"
class Empty(BaseModel):
    """Nothing."""
class Page(BaseModel, Generic[T]):
    """A page."""
    item: T
class Sizes(RootModel[list[int]]):
    """A root model."""
class Odd(BaseModel):
    """Has a field without a GraphQL form."""
    table: dict[str, int]
class Twins(BaseModel):
    """Has two fields with the same GraphQL name."""
    in_box: int
    inBox: int
class Choice(Enum):
    """Yes or no."""
    true = 1
    false = 0
'''


def declare(source: str, name: str = "kitchen.f") -> None:
    """Declare a task as a module would, and let Celery create it."""
    app = Celery("bad", task_cls=TypedTask, set_as_current=False)
    names = {"app": app, "__name__": __name__}
    exec(f"{MODULE}\n@app.task(shared=False, name={name!r})\n{source}", names)
    app.finalize()


def test_supported_types_are_accepted():
    declare(
        "def f(x: int, box: Box | None = None, boxes: list[Annotated[Box, Field()]] = [],\n"
        "      rows: list[list[float]] = [], pair: tuple[int, ...] = (), o: Optional[str] = None\n"
        ") -> list[Box | Bag]:\n    'Doc.'"
    )


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("f(x) -> int", "parameter 'x' is not annotated"),
        ("f(x: int)", "its return type is not annotated"),
        (
            "f(*x: int) -> int",
            "*args, **kwargs and positional-only parameters have no GraphQL form",
        ),
        ("f(_x: int) -> int", "a parameter's name begins with an underscore"),
        ("f(größe: int) -> int", "parameter 'größe' is not a GraphQL name"),
        ("f(a_b: int, aB: int) -> int", "parameter 'aB' differs from 'a_b' only in case and"),
        ("f(model_config: int) -> int", "pydantic reserves the name of parameter 'model_config'"),
        ("f(json: str) -> int", "pydantic reserves the name of parameter 'json'"),
        ("f(x: 'Nowhere') -> int", "an annotation cannot be resolved (name 'Nowhere' is not"),
        ("f(x: 'int |') -> int", "an annotation cannot be resolved (Forward reference must be"),
        ("f(x: object) -> int", "parameter 'x' is `object`, which has no GraphQL form"),
        ("f() -> compile", "the result is `<built-in function compile>`, which has no GraphQL"),
        ("f(x: Any) -> int", "parameter 'x' is `Any`, which has no GraphQL form"),
        ("f(x: int | str) -> int", "parameter 'x' is `int | str`, which has no GraphQL form"),
        ("f(x: Box | Bag) -> int", "parameter 'x' is `Box | Bag`, which has no GraphQL form"),
        ("f() -> list[int | Box]", "the result is `int | Box`, which has no GraphQL form"),
        ("f(x: dict[str, int]) -> int", "parameter 'x' is `dict[str, int]`, which has no"),
        ("f(x: list) -> int", "parameter 'x' is `list`, which has no GraphQL form"),
        ("f() -> tuple[int, str]", "the result is `tuple[int, str]`, which has no GraphQL form"),
        ("f(x: None) -> int", "parameter 'x' is `NoneType`, which has no GraphQL form"),
        ("f(x: list[Odd]) -> int", "field 'table' of Odd is `dict[str, int]`, which has no"),
        ("f() -> Tree", "field 'branches' of Tree refers back to Tree: a model cannot contain"),
        ("f() -> Lost", "the result is Lost, which refers to 'Nowhere': that is not defined"),
        ("f() -> Empty", "the result is Empty, which has no field"),
        ("f() -> Page[int]", "the model 'Page[int]' is not a GraphQL name"),
        ("f() -> Sizes", "the result is Sizes, a RootModel: use the type that it wraps"),
        (
            "f() -> Twins",
            "Twins's field 'inBox' differs from 'in_box' only in case and underscores",
        ),
        ("f() -> Choice", "the result is an enum with the name 'true'"),
        ("f(x: Annotated[str, Field(pattern='(')]) -> int", "pydantic refuses parameter 'x'"),
        ("f(x: int = None) -> int", "the default of parameter 'x' is not of its type"),
        ("f(x: 'int' = 1, *, y: int = 'a') -> int", "the default of parameter 'y' is not of"),
    ],
)
def test_a_signature_without_a_graphql_form_is_refused(signature, reason):
    with pytest.raises(BadTaskDefinition) as caught:
        declare(f"def {signature}:\n    'Doc.'")

    assert str(caught.value).startswith(f"Task 'kitchen.f' cannot be exposed: {reason}")
    assert "\n" not in str(caught.value)


def test_a_task_without_docstring_is_refused():
    with pytest.raises(BadTaskDefinition, match="it has no docstring: write one"):
        declare("def f(x: int) -> int:\n    pass")


def test_an_async_task_is_refused():
    with pytest.raises(BadTaskDefinition, match="Celery workers do not await an async function"):
        declare("async def f(x: int) -> int:\n    'Doc.'")


@pytest.mark.parametrize("name", ["my.do-it", "my.1st", "my._hidden", "my.", "my.größe"])
def test_a_name_that_is_not_valid_in_graphql_is_refused(name):
    with pytest.raises(BadTaskDefinition) as caught:
        declare("def f(x: int) -> int:\n    'Doc.'", name)

    last = name.partition(".")[2]
    assert str(caught.value).startswith(
        f"Task {name!r} cannot be exposed: its name {last!r} is not a GraphQL name"
    )


@pytest.mark.parametrize("name", [*RESERVED_NAMES, "stepTask"])
def test_a_name_that_the_schema_reserves_is_refused(name):
    with pytest.raises(
        BadTaskDefinition, match=f"the schema reserves the name '{name}': rename it"
    ):
        declare("def f(x: int) -> int:\n    'Doc.'", f"kitchen.{name}")
