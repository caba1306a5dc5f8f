"""Conversion of a task's stored input and result to values of the schema's types.

Another release may have stored them. If a value does not fit the types of this release, its field
is null, with an error that says so. Large values are read in a thread, one at a time for each
operation (see `celeryql/state/json_documents.py`).
"""

from __future__ import annotations

import asyncio
import sys
import typing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from celeryql.definition.unions import RESULT_CLASSES, has_unions
from celeryql.errors import DocumentTooLarge, problems_of
from celeryql.state.json_documents import JsonDocument
from graphql_api.api_errors import ApiError, ErrorCode
from graphql_api.execution.context import CHEAP, Context

PAGE_MAX = 10_000  # items of a result

#: Validators are built on first use: a process reads no values of most tasks.
DEFERRED: Any = ConfigDict(defer_build=True)
#: Stored values were validated when they were stored, and limits may have changed since, so only
#: types are checked. Any maximum length makes pydantic reject lone surrogates in strings.
STORED_CONFIG: Any = DEFERRED | ConfigDict(
    str_max_length=sys.maxsize, allow_inf_nan=True, protected_namespaces=()
)

_PROBLEMS_SHOWN = 3
_OPTIONAL = 2  # types of a union: one, and None


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A value that was read in a thread, and is completed there, too."""

    value: Any


class StoredField:
    """A field of a task that is stored as JSON, with its type in this release.

    Args:
        task: the name of the task definition.
        name: the name of the field.
        type_: the type of its values; any value may be null.

    Attributes:
        is_list: whether its values are lists.
    """

    def __init__(self, task: str, name: str, type_: Any) -> None:
        self._task, self._name = task, name
        self._whole: TypeAdapter[Any] = TypeAdapter(type_ | None, config=STORED_CONFIG)
        self._item: TypeAdapter[Any] | None = None
        parts = typing.get_args(type_ | None)
        self.is_list = len(parts) == _OPTIONAL and typing.get_origin(parts[0]) is list
        # The class names of unions are stored for all items at once, so no part can be read.
        if self.is_list and not has_unions(type_):
            (item,) = typing.get_args(parts[0])
            self._item = TypeAdapter(item, config=None if _is_model(item) else STORED_CONFIG)
            inner = typing.get_args(item) or (item,)
            self._weight = 1.0 if any(map(_is_model, inner)) else CHEAP

    async def read(
        self, context: Context, document: JsonDocument, member: str | None = None
    ) -> Any:
        """Read a whole value.

        Args:
            context: the context of the operation.
            document: contains the value.
            member: the member of the document that is the value; None for the document itself.

        Raises:
            ApiError: the value does not fit the type, or is too large.
        """
        if document.text is not None:
            await context.scheduler.yield_if_busy()
            return self._typed(*await self._parsed(context, document, member))
        async with _alone(context):
            context.reserve_bytes(document.size_bytes)
            parsed = await self._parsed(context, document, member)
            return LargeValue(
                await context.engine.documents.run_in_thread(partial(self._typed, *parsed))
            )

    async def read_part(
        self, context: Context, document: JsonDocument, member: str, after: int, first: int | None
    ) -> Any:
        """Read some items of a list; of a large list, only these are read.

        Raises:
            ApiError: the items do not fit the type, or are too many.
        """
        if after < 0 or (first is not None and not 1 <= first <= PAGE_MAX):
            text = f"`first` must be from 1 to {PAGE_MAX:,}, and `after` must not be negative"
            raise ApiError(text, ErrorCode.BAD_USER_INPUT)
        if document.text is None and self._item:
            async with _alone(context):
                items = await self._items(context, document, member, after, first)
            if items is not None:
                return LargeValue(items)
        found = await self.read(context, document, member)
        value = found.value if isinstance(found, LargeValue) else found
        part = value[after:][:first] if isinstance(value, list) else value
        return LargeValue(part) if isinstance(found, LargeValue) else part

    async def _items(
        self, context: Context, document: JsonDocument, member: str, after: int, first: int | None
    ) -> list[Any] | None:
        most, documents = int(context.items_left / self._weight), context.engine.documents
        count = most + 1 if first is None else first
        items = await documents.items(document, member, after, count, context.reserve_bytes)
        if items is not None and len(items) > most:
            raise self._too_large(most)
        return items and await documents.run_in_thread(partial(self._typed_items, items, after))

    async def _parsed(
        self, context: Context, document: JsonDocument, member: str | None
    ) -> tuple[Any, list[str] | None]:
        most = context.items_left
        try:
            value = await context.engine.documents.value(document, most)
            if member is None or value is None:
                return value, None
            return value[member], value.get(RESULT_CLASSES)
        except DocumentTooLarge as error:
            raise self._too_large(int(most)) from error
        except (LookupError, TypeError) as error:
            raise self._misfit(str(error)) from error

    def _typed(self, value: Any, classes: list[str] | None) -> Any:
        if classes:  # the class names of another release may not fit the unions of this one
            with suppress(ValidationError):
                return self._whole.validate_python(value, context=iter(classes))
        try:
            return self._whole.validate_python(value)
        except ValidationError as error:
            raise self._misfit(_problems(error, self._name)) from error

    def _typed_items(self, items: list[Any], after: int) -> list[Any]:
        # One by one, so that the event loop can run in between.
        typed: list[Any] = []
        try:
            for item in items:
                typed.append(self._item.validate_python(item))  # type: ignore[union-attr]  # noqa: PERF401  # it is a list
        except ValidationError as error:
            place = f"{self._name}.{after + len(typed)}"
            raise self._misfit(_problems(error, place)) from error
        return typed

    def _misfit(self, problems: str) -> ApiError:
        text = (
            f"The {self._name} was stored by another release of {self._task!r} and does not fit "
            f"its types in this release ({problems}). Restore what the types lost, or read it with "
            "that release."
        )
        return ApiError(text, ErrorCode.STORED_BY_ANOTHER_RELEASE)

    def _too_large(self, most: int) -> ApiError:
        remedy = (
            "read it in parts, with `first` and `after`"
            if self._item
            else "only a list without unions of models can be read in parts"
        )
        text = f"The {self._name} has too many items for this answer ({most:,} fit): {remedy}"
        return ApiError(text, ErrorCode.BAD_USER_INPUT)


@asynccontextmanager
async def _alone(context: Context) -> AsyncIterator[None]:
    """Wait until the operation reads no other large document, and check that there is room."""
    async with asyncio.timeout(context.engine.settings.query_timeout_s), context.large_read_lock:
        context.reserve_items(0)
        yield


def _problems(error: ValidationError, place: str) -> str:
    return "; ".join(map(str, problems_of(error, (place,))[:_PROBLEMS_SHOWN]))


def _is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, BaseModel)
