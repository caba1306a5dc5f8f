"""Strawberry's decorators with two additions: docstrings as descriptions, and required scopes."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import strawberry
from strawberry.extensions.field_extension import FieldExtension

from celeryql.errors import Unavailable
from graphql_api.auth.viewer import Scope

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


@dataclass_transform(field_specifiers=(strawberry.field,))
def type(cls: builtins.type[T]) -> builtins.type[T]:
    """Turn a class into an object type."""
    return strawberry.type(cls, description=inspect.getdoc(cls))


@dataclass_transform(field_specifiers=(strawberry.field,))
def interface(cls: builtins.type[T]) -> builtins.type[T]:
    """Turn a class into an interface."""
    return strawberry.interface(cls, description=inspect.getdoc(cls))


@dataclass_transform(field_specifiers=(strawberry.field,))
def input(cls: builtins.type[T]) -> builtins.type[T]:
    """Turn a class into an input type."""
    return strawberry.input(cls, description=inspect.getdoc(cls))


@dataclass_transform(field_specifiers=(strawberry.field,))
def one_of(cls: builtins.type[T]) -> builtins.type[T]:
    """Turn a class into a OneOf input type, of which clients set exactly one field."""
    return strawberry.input(cls, description=inspect.getdoc(cls), one_of=True)


class RequireScopes(FieldExtension):
    """Resolves a field only if the viewer has the scopes that it needs."""

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        self._scopes = scopes

    # Not a coroutine: `next_` may return a value, a coroutine or an asynchronous generator.
    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        """Check the scopes, then resolve the field."""
        self.check(info)
        return next_(source, info, **kwargs)

    resolve_async: Any = resolve

    def check(self, info: Any) -> None:
        """Check that the viewer has the scopes, and that Redis has answered the operation so far.

        Raises:
            Forbidden: a scope is missing.
            Unavailable: an earlier mutation of the operation timed out waiting for Redis. Without
                this error, each further mutation would wait as long.
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
    """Turn a method into a field that needs these scopes."""
    return _with_scopes(strawberry.field, resolver, scopes)


def mutation(resolver: Callable[..., Any] | None = None, *, scopes: tuple[Scope, ...] = ()) -> Any:
    """Turn a method into a mutation that needs these scopes."""
    return _with_scopes(strawberry.mutation, resolver, scopes)


def subscription(
    resolver: Callable[..., Any] | None = None, *, scopes: tuple[Scope, ...] = ()
) -> Any:
    """Turn a method that returns an asynchronous generator into a subscription."""
    return _with_scopes(strawberry.subscription, resolver, scopes)


def enum(
    cls: builtins.type[E], descriptions: dict[str, str] | None = None, name: str | None = None
) -> builtins.type[E]:
    """Turn a Python enum into a GraphQL enum.

    Args:
        cls: its docstring is the description; a line `NAME: text` in it describes a member.
        descriptions: descriptions by member name, for classes outside of the API.
        name: the name in the schema, if it differs from the class name.
    """
    summary, *lines = (inspect.getdoc(cls) or "").splitlines()
    listed = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    texts = listed | (descriptions or {})
    decorated: Any = strawberry.enum(cls, description=summary, name=name)
    for value in decorated.__strawberry_definition__.values:
        value.description = texts.get(value.name, f"{value.name.capitalize()}.")
    return cls
