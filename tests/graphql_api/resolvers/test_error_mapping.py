"""What clients see of an error, and what is hidden from them."""

from __future__ import annotations

import pytest
import strawberry

from graphql_api.execution.executor import Executor
from graphql_api.schema import Schema

TOO_LARGE = 2**31


@strawberry.type
class Parcel:
    weight: int


@strawberry.type
class Query:
    @strawberry.field
    def parcels(self) -> list[Parcel]:
        return [Parcel(weight=1), Parcel(weight=TOO_LARGE)]

    @strawberry.field
    def twice(self, of: int) -> int:
        return 2 * of

    @strawberry.field
    def secret(self) -> int:
        raise ValueError("hunter2")

    @strawberry.field
    def lost(self) -> int | None:
        raise ValueError("lost")


@strawberry.type
class Loser:
    @strawberry.field
    def lost(self) -> int | None:
        raise ValueError("lost")

    @strawberry.field
    def parcels(self) -> list[Parcel | None]:
        return [Parcel(weight=1), Parcel(weight=TOO_LARGE)]


def error_of(operation, **variables):
    (error,) = Schema(query=Query).execute_sync(operation, variables).errors
    return error


def test_a_result_that_does_not_fit_its_type_is_an_internal_error():
    error = error_of("{ parcels { weight } }")

    assert error.extensions["code"] == "INTERNAL"
    assert error.message == (
        "parcels.1.weight has a value that its type cannot hold: "
        "Int cannot represent non 32-bit signed integer value: 2147483648"
    )


@pytest.mark.parametrize(
    ("operation", "variables"),
    [
        ("{ nope }", {}),
        ("{ twice(of: 3000000000) }", {}),
        ("query($of: Int!) { twice(of: $of) }", {"of": TOO_LARGE}),
        ("query($of: Int!) { twice(of: $of) }", {}),
        (f"{{ twice(of: {'9' * 5_000}) }}", {}),
    ],
    ids=["unknown", "literal", "variable", "missing", "number of 5,000 digits"],
)
def test_an_invalid_operation_is_bad_user_input(operation, variables):
    assert error_of(operation, **variables).extensions["code"] == "BAD_USER_INPUT"


def test_an_unexpected_error_is_masked():
    error = error_of("{ secret }")

    assert error.extensions["code"] == "INTERNAL"
    assert "hunter2" not in error.message


def test_the_first_field_errors_are_reported_and_the_others_counted():
    fields = " ".join(f"a{i}: lost" for i in range(150))
    *reported, last = Schema(query=Query).execute_sync(f"{{ {fields} }}").errors

    assert [error.path for error in reported] == [[f"a{i}"] for i in range(100)]
    assert last.message == "50 more errors are left out: select fewer fields or items"


def test_an_error_that_is_left_out_still_makes_its_parent_null(local_client):
    fields = " ".join(f"a{i}: lost" for i in range(100))
    operation = f"{{ {fields} parcels {{ weight }} }}"
    schema = Schema(query=Loser, execution_context_class=Executor)

    result = schema.execute_sync(operation, context_value=local_client.context)

    assert result.data == {f"a{i}": None for i in range(100)} | {"parcels": [{"weight": 1}, None]}
    assert result.errors[-1].message == "1 more errors are left out: select fewer fields or items"


@strawberry.input
class Order:
    count: int
    colour: str | None = None


@strawberry.type
class Shop:
    @strawberry.field
    def order(self, of: Order) -> int:
        return of.count

    @strawberry.field
    def half(self, size: float) -> float:
        return size / 2


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        (None, ": Expected value of non-null type 'Order!' not to be null."),
        ([True], ": Expected value of type 'Order' to be an object."),
        ({"count": None}, " at .count: Expected value of non-null type 'Int!' not to be null."),
        ({"count": [None]}, " at .count: Int cannot represent non-integer value"),
        ({"count": "many"}, " at .count: Int cannot represent non-integer value: 'many'"),
        ({"colour": None}, ": Expected value of type 'Order' to include required field 'count'."),
        (
            {"count": 1, "hue": None},
            ": Expected value of type 'Order' not to include unknown field 'hue'.",
        ),
    ],
)
def test_an_invalid_input_is_reported_without_python_syntax(order, complaint):
    operation = "query($of: Order!) { order(of: $of) }"

    errors = Schema(query=Shop).execute_sync(operation, {"of": order}).errors

    assert [error.message for error in errors] == [f"Variable '$of' has invalid value{complaint}"]


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ("1", "non numeric value: '1'"),
        ([1], "non numeric value"),
        ({}, "non numeric value"),
        (True, "non numeric value"),
        (float("inf"), "a number beyond 1.8e308"),
        (float("-inf"), "a number beyond 1.8e308"),
    ],
)
def test_an_invalid_number_is_refused_with_the_reason(size, reason):
    operation = "query($size: Float!) { half(size: $size) }"

    (error,) = Schema(query=Shop).execute_sync(operation, {"size": size}).errors

    assert error.message == f"Variable '$size' has invalid value: Float cannot represent {reason}"


def test_a_suggestion_is_kept():
    operation = "query($of: Order!) { order(of: $of) }"

    (error,) = (
        Schema(query=Shop).execute_sync(operation, {"of": {"count": 1, "couleur": None}}).errors
    )

    assert error.message.endswith("unknown field 'couleur'. Did you mean 'colour'?")
