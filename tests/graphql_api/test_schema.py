"""The printed schema: complete, with descriptions, and derived from the task files."""

from __future__ import annotations

import pytest
from graphql import GraphQLSchema, parse, visit
from graphql import build_schema as parse_schema
from graphql.language import Visitor

from graphql_api.schema import SDL_FILE, build_schema
from tests.processes import run_to_end

SHOP = '''
"""A task file as a new user would write it."""

from datetime import date, datetime
from enum import Enum
from typing import Annotated

from pydantic import BaseModel, Field

from tasks.celery_app import app
from celeryql import Sensitive


class Speed(Enum):
    """How fast it is sent.

    SLOW: Within a week.
    FAST: Tomorrow.
    """

    SLOW = "slow"
    FAST = "fast"


class Article(BaseModel):
    """What is ordered."""

    number: int = Field(ge=1, description="Its number in the catalogue.")
    colours: list[str] = Field(default=[], max_length=3, description="Any of these.")


class Order(BaseModel):
    """What was ordered."""

    articles: list[Article] = Field(description="What it is made of.")
    speed: Speed = Field(description="How it is sent.")
    due_on: date | None = Field(description="When it arrives.")


@app.task(acks_late=True)
def place_order(
    articles: Annotated[list[Article], Field(min_length=1, description="What to send.")],
    card_number: Annotated[str, Sensitive, Field(description="Who pays.")],
    speed: Speed = Speed.SLOW,
    not_before: datetime | None = None,
) -> Order:
    """Place an order."""


@app.task
def forget_order(order: Order) -> None:
    """Forget an order."""
'''


@pytest.fixture(scope="module")
def shop(copy_project) -> GraphQLSchema:
    """The schema of the project with one more task file, and nothing else changed."""
    project = copy_project(SHOP)
    printed = run_to_end(["-m", "graphql_api.schema"], project)
    assert printed.returncode == 0, printed.stderr
    return parse_schema(printed.stdout)


def members(schema, name):
    """List the fields of a type with their types, without what every task has."""
    fields = schema.type_map[name].fields
    common = schema.type_map["Task"].fields if name.endswith("Task") else ()
    return {field: str(fields[field].type) for field in fields if field not in common}


def test_the_committed_schema_is_what_the_code_derives():
    assert SDL_FILE.read_text() == build_schema().schema.as_str() + "\n"


def test_everything_in_the_schema_has_a_description():
    missing = []

    class Walk(Visitor):
        def enter(self, node, *place):
            is_ours = node.kind.endswith("_definition") and node.name.value != "oneOf"
            if is_ours and not (node.description and node.description.value.strip()):
                owners = [a.name.value for a in place[-1] if getattr(a, "name", None)]
                missing.append(".".join([*owners, node.name.value]))

    visit(parse(build_schema().schema.as_str()), Walk())

    assert missing == []


@pytest.mark.slow
def test_an_outdated_schema_file_is_reported(copy_project):
    project = copy_project(SHOP)
    (project / "schema.graphql").write_text(SDL_FILE.read_text())

    checked = run_to_end(["-m", "graphql_api.schema", "--check"], project)

    assert checked.returncode == 1
    assert "python -m graphql_api.schema > schema.graphql" in checked.stderr


@pytest.mark.slow
def test_a_new_task_file_adds_its_mutation_and_its_step(shop):
    mutation = shop.mutation_type.fields["enqueuePlaceOrder"]

    assert mutation.description == "Enqueue `place_order`: Place an order. Needs ENQUEUE."
    assert {name: str(argument.type) for name, argument in mutation.args.items()} == {
        "input": "PlaceOrderInput!", "options": "TaskOptions",
    }  # fmt: skip
    assert str(mutation.type) == "EnqueuePlaceOrderPayload"
    assert [str(member) for member in shop.type_map["EnqueuePlaceOrderPayload"].types] == [
        "EnqueuePlaceOrderSuccess", "InvalidInput", "IdempotencyConflict", "Throttled",
        "Unavailable", "Forbidden",
    ]  # fmt: skip
    assert str(shop.type_map["StepTaskInput"].fields["placeOrder"].type) == "PlaceOrderStepInput"


@pytest.mark.slow
def test_arguments_become_inputs_with_their_defaults(shop):
    fields = shop.type_map["PlaceOrderInput"].fields

    assert members(shop, "PlaceOrderInput") == {
        "articles": "[ArticleInput!]!", "cardNumber": "String!", "speed": "Speed!",
        "notBefore": "DateTime",
    }  # fmt: skip
    assert members(shop, "ArticleInput") == {"number": "Int!", "colours": "[String!]!"}
    assert fields["speed"].ast_node.default_value.value == "SLOW"
    assert fields["articles"].description == "What to send (minimum length 1)."
    assert shop.type_map["ArticleInput"].fields["colours"].description == (
        "Any of these (maximum length 3)."
    )


@pytest.mark.slow
def test_every_argument_of_a_step_is_optional(shop):
    assert set(members(shop, "PlaceOrderStepInput").values()) == {
        "[ArticleInput!]", "String", "Speed", "DateTime",
    }  # fmt: skip


@pytest.mark.slow
def test_the_input_of_a_task_has_no_sensitive_arguments(shop):
    assert members(shop, "PlaceOrderArguments") == {
        "articles": "[Article!]", "speed": "Speed", "notBefore": "DateTime",
    }  # fmt: skip


@pytest.mark.slow
def test_the_result_has_types_at_every_level(shop):
    assert members(shop, "PlaceOrderTask") == {"input": "PlaceOrderArguments", "result": "Order"}
    assert members(shop, "Order") == {
        "articles": "[Article!]!", "speed": "Speed!", "dueOn": "Date",
    }  # fmt: skip
    assert members(shop, "Article") == {"number": "BigInt!", "colours": "[String!]!"}


@pytest.mark.slow
def test_a_task_that_returns_nothing_has_no_result(shop):
    assert members(shop, "ForgetOrderTask") == {"input": "ForgetOrderArguments"}


@pytest.mark.slow
def test_an_enum_has_the_descriptions_of_its_docstring(shop):
    speed = shop.type_map["Speed"]

    assert speed.description == "How fast it is sent."
    assert {name: value.description for name, value in speed.values.items()} == {
        "SLOW": "Within a week.", "FAST": "Tomorrow.",
    }  # fmt: skip
