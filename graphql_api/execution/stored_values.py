"""How a task's stored input and result become values of the schema's types.

Another release may have stored them: a value that does not fit the types of this release costs its
own field, which is null, with an error that says so. They may be of any size: large ones are read
in a thread (`celeryql/state/json_documents.py`), one of an operation at a time.
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
from graphql_api.context import CHEAP, Context

PAGE_MAX = 10_000  # items of a result

#: What checks values is made when the first comes: of most tasks, a process sees none.
DEFERRED: Any = ConfigDict(defer_build=True)
#: Stored values were checked when they were stored, and limits may have changed since: only their
#: types are checked. A limit on strings, whatever its size, has pydantic refuse lone surrogates.
STORED_CONFIG: Any = DEFERRED | ConfigDict(
    str_max_length=sys.maxsize, allow_inf_nan=True, protected_namespaces=()
)

_PROBLEMS_SHOWN = 3
_OPTIONAL = 2  # types of a union: one, and None


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A value that was read apart from the event loop, and is made an answer there, too."""

    value: Any


class StoredField:
    """A field of a task that is stored as JSON, with the type that it has in this release.

    Args:
        task: the name of the task definition.
        name: of the field.
        type_: of its values; any of them may be null.

    Attributes:
        is_list: whether its values are lists.
    """

    def __init__(self, task: str, name: str, type_: Any) -> None:
        self._task, self._name = task, name
        self._whole: TypeAdapter[Any] = TypeAdapter(type_ | None, config=STORED_CONFIG)
        self._item: TypeAdapter[Any] | None = None
        parts = typing.get_args(type_ | None)
        self.is_list = len(parts) == _OPTIONAL and typing.get_origin(parts[0]) is list
        if self.is_list and not has_unions(type_):  # whose classes are named for all items at once
            (item,) = typing.get_args(parts[0])
            self._item = TypeAdapter(item, config=None if _is_model(item) else STORED_CONFIG)
            inner = typing.get_args(item) or (item,)
            self._weight = 1.0 if any(map(_is_model, inner)) else CHEAP

    async def read(
        self, context: Context, document: JsonDocument, member: str | None = None
    ) -> Any:
        """Read a value whole.

        Args:
            context: of the operation.
            document: where the value is stored.
            member: which member of the document is the value; None for the document itself.

        Raises:
            ApiError: it does not fit the type, or is too large.
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
        """Read items of a list: of a large one, no more than those.

        Raises:
            ApiError: they do not fit the type, or there are too many.
        """
        if after < 0 or (first is not None and not 1 <= first <= PAGE_MAX):
            text = f"`first` is 1 to {PAGE_MAX:,}, and `after` is not below 0"
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
        if classes:  # of another release, they may say nothing of today's unions
            with suppress(ValidationError):
                return self._whole.validate_python(value, context=iter(classes))
        try:
            return self._whole.validate_python(value)
        except ValidationError as error:
            raise self._misfit(_problems(error, self._name)) from error

    def _typed_items(self, items: list[Any], after: int) -> list[Any]:
        # One by one: each is a chance for the event loop to go on.
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
    """Wait until no other large document is read for an operation, and see that there is room."""
    async with asyncio.timeout(context.engine.settings.query_timeout_s), context.large_read_lock:
        context.reserve_items(0)
        yield


def _problems(error: ValidationError, place: str) -> str:
    return "; ".join(map(str, problems_of(error, (place,))[:_PROBLEMS_SHOWN]))


def _is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, BaseModel)
