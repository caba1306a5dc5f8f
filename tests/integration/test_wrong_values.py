"""Wrong values at every place of every input are refused with a message and a valid path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    build_schema,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)

from graphql_api.schema import SDL_FILE
from tests.client import Client

pytestmark = pytest.mark.slow

ADD = {"add": {"x": 1, "y": 2}}
WRONG: list[Any] = [
    None,
    True,
    -1,
    1e308,
    2**40,
    "",
    "tomorrow",
    "x" * 101,
    "a\udc80",
    "\u0000",
    [],
    [None],
    ["x"] * 25,
    [""],
    {},
    {"nothing": 1},
    ADD | {"mul": {"x": 1}},
    {"add": {"x": None, "y": 1}},
    {"add": {"x": 1}},
    {"at": "2030-01-01T00:00:00Z", "inSeconds": 1},
    {"inSeconds": -1},
    {"step": {"task": {}}},
    {"step": {"task": ADD, "key": "", "options": {"tags": [""], "maxAttempts": 0}}},
    {"chain": [{"step": {"task": ADD, "key": "a"}}, {"step": {"task": ADD, "key": "a"}}]},
    {"group": [{"chain": []}]},
]
FITTING: dict[str, Any] = {
    "String": "x",
    "ID": "x",
    "Int": 1,
    "Float": 1.0,
    "Boolean": True,
    "DateTime": "2030-01-02T03:04:05Z",
    "EventCursor": "0-0",
    "StepTaskInput": ADD,
    "CanvasInput": {"chain": [{"step": {"task": ADD}}, {"step": {"task": {"add": {"x": 1}}}}]},
    "StartInput": {"inSeconds": 60},
}
DEEPEST = 6  # canvases can be nested without a limit in the types
# Words of the implementation. `float` and `str` are allowed: a type mismatch names them.
PYTHON = re.compile(
    r"Tuple|NoneType|\bNone\b|\bTrue\b|\bdict|int\(\)|Exception|Traceback|object at 0x|Maybe|: :"
)


@dataclass
class Root:
    """A field of a root type, with valid arguments."""

    kind: str
    name: str
    types: dict[str, GraphQLInputType]
    is_payload: bool

    def operation(self, given: dict[str, Any]) -> str:
        declared = ", ".join(f"${name}: {self.types[name]}" for name in given)
        passed = ", ".join(f"{name}: ${name}" for name in given)
        error_fields = "message ... on InvalidInput { problems { path message } }"
        of_items = f"... on EnqueueBatchSuccess {{ items {{ error {{ {error_fields} }} }} }}"
        below = f"... on Error {{ {error_fields} }} {of_items}" if self.is_payload else ""
        return f"{self.kind}({declared}) {{ {self.name}({passed}) {{ __typename {below} }} }}"

    def asked(self) -> Iterator[dict[str, Any]]:
        needed = {n: valid_value(t) for n, t in self.types.items() if is_non_null_type(t)}
        for name, type_ in self.types.items():
            for value in with_wrong_values(type_, valid_value(type_), 0):
                yield needed | {name: value}


def roots() -> Iterator[Root]:
    schema: GraphQLSchema = build_schema(SDL_FILE.read_text())
    for kind in ("query", "mutation"):
        for name, field in getattr(schema, f"{kind}_type").fields.items():
            types = {argument: of.type for argument, of in field.args.items()}
            if types:
                yield Root(kind, name, types, kind == "mutation")


def valid_value(type_: GraphQLInputType) -> Any:
    if is_non_null_type(type_):
        return valid_value(type_.of_type)
    if is_list_type(type_):
        return [valid_value(type_.of_type)]
    if is_enum_type(type_):
        return next(iter(type_.values))
    if type_.name in FITTING:
        return FITTING[type_.name]
    needed = {name: field.type for name, field in type_.fields.items()}
    return {name: valid_value(of) for name, of in needed.items() if is_non_null_type(of)}


def with_wrong_values(type_: GraphQLInputType, value: Any, depth: int) -> Iterator[Any]:
    """Yield copies of a value, each with a wrong value in one place."""
    yield from WRONG
    type_ = type_.of_type if is_non_null_type(type_) else type_
    if is_list_type(type_):
        for wrong in with_wrong_values(type_.of_type, value[0], depth + 1):
            yield [value[0], wrong]
    elif is_input_object_type(type_) and depth < DEEPEST:
        for name, field in type_.fields.items():
            if name in value or type_.name not in FITTING:
                for wrong in with_wrong_values(
                    field.type, value.get(name) or valid_value(field.type), depth + 1
                ):
                    yield value | {name: wrong}


def is_valid_path(path: list[str], given: Any) -> bool:
    """Tell whether a path leads to a value that was sent, or to a missing one."""
    for i, key in enumerate(path):
        if isinstance(given, list):
            if int(key) >= len(given):
                return False
            given = given[int(key)]
        elif isinstance(given, dict):
            if key not in given:
                return i == len(path) - 1
            given = given[key]
        elif key != "0":  # a single value is accepted as a list of one
            return False
    return True


def find_refusals(answer: Any) -> Iterator[dict[str, Any]]:
    """Yield each refusal in the data of a response."""
    if isinstance(answer, dict):
        if "message" in answer:
            yield answer
        for part in answer.values():
            yield from find_refusals(part)
    elif isinstance(answer, list):
        for part in answer:
            yield from find_refusals(part)


@pytest.fixture(scope="module")
def http(client: Client) -> Iterator[httpx.Client]:
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=client.url, headers=headers, timeout=20) as http:
        yield http


@pytest.mark.parametrize("root", list(roots()), ids=lambda root: root.name)
def test_a_wrong_value_is_refused_with_a_message_and_its_path(http, root):
    refused = 0
    for given in root.asked():
        body = json.dumps({"query": root.operation(given), "variables": given})
        answer = http.post("/graphql", content=body).json()

        for error in answer.get("errors", []):
            refused += 1
            assert error["extensions"]["code"] == "BAD_USER_INPUT", (given, error)
            assert not PYTHON.search(error["message"]), (given, error)
            assert error.get("locations") or "more errors" in error["message"], (given, error)
        for refusal in find_refusals(answer.get("data")):
            refused += 1
            assert not PYTHON.search(refusal["message"]), (given, refusal)
            for problem in refusal.get("problems", []):
                assert is_valid_path(problem["path"], given), (given, problem)
                assert problem["message"], given
    assert refused
