"""The messages of graphql-transport-ws that a client sends, by their shapes.

Source: PROTOCOL.md of the npm package `graphql-ws`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter

_Id = Annotated[str, Field(max_length=255)]  # every event of an operation repeats it


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _Note(_Shape):
    type: Literal["connection_init", "ping", "pong"]
    payload: dict[str, Any] | None = None


class _Payload(_Shape):
    query: str
    operationName: str | None = None  # noqa: N815  # the protocol's name
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class _Subscribe(_Shape):
    type: Literal["subscribe"]
    id: _Id
    payload: _Payload


class _Complete(_Shape):
    type: Literal["complete"]
    id: _Id


#: Whatever a client may send.
MESSAGE: TypeAdapter[_Note | _Subscribe | _Complete] = TypeAdapter(
    Annotated[_Note | _Subscribe | _Complete, Discriminator("type")]
)
