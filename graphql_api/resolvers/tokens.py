"""The mutation `createToken`, which makes a token with a part of the caller's permissions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.records import WORKFLOW
from graphql_api.auth.authenticator import TOKEN_MAX
from graphql_api.auth.viewer import Viewer
from graphql_api.execution.context import Info
from graphql_api.types import decorators
from graphql_api.types.enums import Scope
from graphql_api.types.payload_errors import Forbidden, InvalidInput

_ENTRIES_MAX = 100  # per list, because a token must fit in a header
_LIFE_MAX_S = 24 * 3600


@decorators.input
class CreateTokenInput:
    """The permissions of a new token, which cannot exceed those of the caller's token.

    Each list has 1 to 100 entries. Without `definitions` or `taskIds`, the new token has the same
    limits as the caller's.
    """

    scopes: list[Scope] = strawberry.field(
        description="The scopes of the token. The caller must have them, or ADMIN."
    )
    definitions: list[str] | None = strawberry.field(
        default=None,
        description="The only task definitions whose tasks the token can see and enqueue. Use "
        "`workflow` for workflows.",
    )
    task_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="The only tasks and workflows that the token can see, with the steps of these "
        "workflows. Such a token cannot enqueue tasks.",
    )
    expires_in_seconds: float = strawberry.field(
        default=900.0,
        description="The lifetime of the token in seconds: 1 to 86,400. It never outlives the "
        "caller's token.",
    )


@decorators.type
class CreateTokenSuccess:
    """The new token. It is not stored and cannot be revoked."""

    token: str = strawberry.field(
        description="The token. Send it as `Authorization: Bearer <token>`."
    )
    expires_at: datetime = strawberry.field(description="When the token expires.")
    scopes: list[Scope] = strawberry.field(description="The scopes of the token.")


CreateTokenPayload = Annotated[
    CreateTokenSuccess | InvalidInput | Forbidden,
    strawberry.union("CreateTokenPayload", description="The result of `createToken`."),
]


@decorators.type
class TokenMutation:
    """The mutation `createToken`."""

    @decorators.mutation
    async def create_token(
        self,
        info: Info,
        input: Annotated[
            CreateTokenInput, strawberry.argument(description="The permissions of the token.")
        ],
    ) -> CreateTokenPayload | None:
        """Create a short-lived token with limited permissions, for example for a browser."""
        authenticator = info.context.authenticator
        if not authenticator.is_on:
            raise _refusal("Authentication is off, so no token is needed")
        if not authenticator.can_sign:
            raise _refusal("The server signs tokens with AUTH_JWT_SECRET, which must be set")
        caller = info.context.viewer
        new_viewer = _restricted(caller, input)
        unseen = await _unseen(info, input.task_ids or [], new_viewer)
        if problems := [*_problems(info, input), *unseen]:
            raise errors.InvalidInput(problems)
        caller.require(*input.scopes)
        token = authenticator.sign(new_viewer)
        if len(token) > TOKEN_MAX:
            raise _refusal(
                f"The token would be longer than {TOKEN_MAX:,} characters: list fewer names or ids"
            )
        return CreateTokenSuccess(
            token=token,
            expires_at=datetime.fromtimestamp(new_viewer.expires_at or 0, UTC),
            scopes=new_viewer.granted_scopes,
        )


def _problems(info: Info, wanted: CreateTokenInput) -> Iterator[errors.Problem]:
    for name in ("scopes", "definitions", "task_ids"):
        given = getattr(wanted, name)
        if given is not None and not 1 <= len(given) <= _ENTRIES_MAX:
            text = f"The list must have 1 to {_ENTRIES_MAX} entries, but has {len(given)}"
            yield errors.Problem(("input", name), text)
    if wanted.task_ids is not None and Scope.ENQUEUE in wanted.scopes:
        text = "A token with `taskIds` cannot enqueue tasks: leave out ENQUEUE"
        yield errors.Problem(("input", "scopes"), text)
    known = {*info.context.engine.definitions, WORKFLOW}
    for i, name in enumerate(wanted.definitions or ()):
        if name not in known:
            text = f"There is no task definition {name!r}"
            yield errors.Problem(("input", "definitions", str(i)), text)
    own = info.context.viewer.definitions
    if wanted.definitions and own is not None and own.isdisjoint(wanted.definitions):
        text = "Your own token is limited to other definitions"
        yield errors.Problem(("input", "definitions"), text)
    if not 1 <= wanted.expires_in_seconds <= _LIFE_MAX_S:
        given_s = wanted.expires_in_seconds
        text = f"The lifetime must be 1 to {_LIFE_MAX_S:,} seconds, not {given_s:g}"
        yield errors.Problem(("input", "expires_in_seconds"), text)


async def _unseen(info: Info, ids: list[strawberry.ID], new: Viewer) -> list[errors.Problem]:
    """List problems for tasks that the new token could not see."""
    seen = await info.context.records.load_many(ids[:_ENTRIES_MAX])
    return [
        errors.Problem(("input", "task_ids", str(i)), str(errors.NotFound(id_)))
        for i, (id_, record) in enumerate(zip(ids, seen, strict=False))
        if record is None or not new.may_see(record)
    ]


def _restricted(caller: Viewer, wanted: CreateTokenInput) -> Viewer:
    definitions, expires_at = caller.definitions, time.time() + wanted.expires_in_seconds
    if wanted.definitions is not None:
        given = frozenset(wanted.definitions)
        definitions = given if definitions is None else given & definitions
    return replace(
        caller,
        scopes=frozenset(wanted.scopes),
        definitions=definitions,
        task_ids=caller.task_ids if wanted.task_ids is None else frozenset(wanted.task_ids),
        expires_at=expires_at if caller.expires_at is None else min(expires_at, caller.expires_at),
    )


def _refusal(message: str) -> errors.InvalidInput:
    return errors.InvalidInput([errors.Problem(("input",), message)])
