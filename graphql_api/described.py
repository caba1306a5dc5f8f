"""Strawberry's decorators with the docstring as the description: text is written once."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import strawberry
from pydantic import BaseModel

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
M = TypeVar("M", bound=BaseModel)


@dataclass_transform(field_specifiers=(strawberry.field,))
def type(cls: builtins.type[T]) -> builtins.type[T]:
    """Make an object type of a class."""
    return strawberry.type(cls, description=inspect.getdoc(cls))


@dataclass_transform(field_specifiers=(strawberry.field,))
def interface(cls: builtins.type[T]) -> builtins.type[T]:
    """Make an interface of a class."""
    return strawberry.interface(cls, description=inspect.getdoc(cls))


@dataclass_transform(field_specifiers=(strawberry.field,))
def input(cls: builtins.type[T]) -> builtins.type[T]:
    """Make an input type of a class."""
    return strawberry.input(cls, description=inspect.getdoc(cls))


@dataclass_transform(field_specifiers=(strawberry.field,))
def one_of(cls: builtins.type[T]) -> builtins.type[T]:
    """Make an input type of which exactly one member is given."""
    return strawberry.input(cls, description=inspect.getdoc(cls), one_of=True)


def validated_input(cls: builtins.type[M]) -> builtins.type[M]:
    """Make an input type of a pydantic model, whose limits then hold."""
    return strawberry.pydantic.input(cls, description=inspect.getdoc(cls))


def field(resolver: Callable[..., Any]) -> Any:
    """Make a field of a method."""
    return strawberry.field(resolver=resolver, description=inspect.getdoc(resolver))


def mutation(resolver: Callable[..., Any]) -> Any:
    """Make a mutation of a method."""
    return strawberry.mutation(resolver=resolver, description=inspect.getdoc(resolver))


def subscription(resolver: Callable[..., Any]) -> Any:
    """Make a subscription of a method that answers with an asynchronous generator."""
    return strawberry.subscription(resolver=resolver, description=inspect.getdoc(resolver))


def enum(
    cls: builtins.type[E], descriptions: dict[str, str] | None = None, name: str | None = None
) -> builtins.type[E]:
    """Make a GraphQL enum of a Python one.

    Args:
        cls: its docstring describes it; a line `NAME: text` in there describes a member.
        descriptions: texts by member name, where the class lies outside the API.
        name: its name in the schema, where that is not the class's.
    """
    summary, *lines = (inspect.getdoc(cls) or "").splitlines()
    listed = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    texts = listed | (descriptions or {})
    made: Any = strawberry.enum(cls, description=summary, name=name)
    for value in made.__strawberry_definition__.values:
        value.description = texts.get(value.name, f"{value.name.capitalize()}.")
    return cls
