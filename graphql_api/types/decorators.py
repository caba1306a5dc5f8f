"""Strawberry's decorators with the docstring as the description: text is written once."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import strawberry
from pydantic import BaseModel
from strawberry.extensions.field_extension import FieldExtension

from celeryql.errors import Unavailable
from graphql_api.auth.viewer import Scope

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


class RequireScopes(FieldExtension):
    """Lets nobody past who lacks a scope."""

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        self._scopes = scopes

    # No coroutine: what comes next may give a value, a coroutine or an asynchronous generator.
    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        """Let Strawberry go on, or raise `Forbidden`."""
        self.check(info)
        return next_(source, info, **kwargs)

    resolve_async: Any = resolve

    def check(self, info: Any) -> None:
        """See that whoever asks has the scopes, and that Redis has answered so far.

        Raises:
            Forbidden: a scope is missing.
            Unavailable: a mutation before this one waited for Redis in vain; many would add up.
        """
        info.context.viewer.require(*self._scopes)
        if info.context.is_redis_unavailable:
            raise Unavailable(outcome_unknown=False)


def _with_scopes(
    make: Callable[..., Any], resolver: Callable[..., Any] | None, scopes: tuple[Scope, ...]
) -> Any:
    if resolver is None:
        return lambda resolver: _with_scopes(make, resolver, scopes)
    text = inspect.getdoc(resolver) or ""
    if not scopes:
        return make(resolver=resolver, description=text)
    needs = f"{text} Needs {' and '.join(scope.name for scope in scopes)}."
    return make(resolver=resolver, description=needs, extensions=[RequireScopes(scopes)])


def field(resolver: Callable[..., Any] | None = None, *, scopes: tuple[Scope, ...] = ()) -> Any:
    """Make a field of a method, for those who have the scopes."""
    return _with_scopes(strawberry.field, resolver, scopes)


def mutation(resolver: Callable[..., Any] | None = None, *, scopes: tuple[Scope, ...] = ()) -> Any:
    """Make a mutation of a method, for those who have the scopes."""
    return _with_scopes(strawberry.mutation, resolver, scopes)


def subscription(
    resolver: Callable[..., Any] | None = None, *, scopes: tuple[Scope, ...] = ()
) -> Any:
    """Make a subscription of a method that answers with an asynchronous generator."""
    return _with_scopes(strawberry.subscription, resolver, scopes)


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
