"""Who asks, and the tokens that it may hand on: each can do no more than its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.records import WORKFLOW
from graphql_api.auth import viewer
from graphql_api.auth.authenticator import TOKEN_MAX
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.enums import Scope
from graphql_api.types.payload_errors import Forbidden, InvalidInput

_ENTRIES_MAX = 100  # of each list: a token travels in a header
_LIFE_MAX_S = 24 * 3600


@decorators.type
class Viewer:
    """Who asks."""

    subject: str = strawberry.field(
        description="Tasks belong to it; `anonymous` where no authentication is set up."
    )
    scopes: list[Scope] = strawberry.field(description="What it may do.")

    @classmethod
    def of(cls, asking: viewer.Viewer) -> Viewer:
        """Present who asks."""
        return cls(subject=asking.subject, scopes=[s for s in Scope if asking.has(s)])


@decorators.input
class CreateTokenInput:
    """What a token is to allow: no more than the one that asks for it.

    Each list has 1 to 100 entries. Without `taskIds` or `definitions` it is held to tasks as your
    own token is.
    """

    scopes: list[Scope] = strawberry.field(description="Any of your own; with ADMIN, any.")
    definitions: list[str] | None = strawberry.field(
        default=None,
        description="Only tasks of these definitions, `workflow` for workflows; what is enqueued, "
        "too.",
    )
    task_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="Only these tasks, and the steps of these workflows; nothing is enqueued then.",
    )
    expires_in_seconds: float = strawberry.field(
        default=900.0, description="1 to 86,400; it ends with your own token at the latest."
    )


@decorators.type
class CreateTokenSuccess:
    """The token was made; it is kept nowhere, and cannot be taken back."""

    token: str = strawberry.field(description="Send it as `Authorization: Bearer <token>`.")
    expires_at: datetime = strawberry.field(description="When it ends.")
    scopes: list[Scope] = strawberry.field(description="What it allows.")


CreateTokenPayload = Annotated[
    CreateTokenSuccess | InvalidInput | Forbidden,
    strawberry.union("CreateTokenPayload", description="What `createToken` answers."),
]


@decorators.type
class TokenMutation:
    """What can be done with tokens."""

    @decorators.mutation
    async def create_token(
        self,
        info: Info,
        input: Annotated[CreateTokenInput, strawberry.argument(description="What it is to allow.")],
    ) -> CreateTokenPayload | None:
        """Make a short-lived token that can do no more than this, for handing to a browser."""
        authenticator = info.context.authenticator
        if not authenticator.is_on:
            raise _refusal("There is no authentication here: whoever asks may do all")
        if not authenticator.can_sign:
            raise _refusal("Tokens are signed with AUTH_JWT_SECRET, which must be set for that")
        asking = info.context.viewer
        allowed = _narrowed(asking, input)
        unseen = await _unseen(info, input.task_ids or [], allowed)
        if problems := [*_problems(info, input), *unseen]:
            raise errors.InvalidInput(problems)
        asking.require(*input.scopes)
        token = authenticator.sign(allowed)
        if len(token) > TOKEN_MAX:
            raise _refusal(f"It would be longer than {TOKEN_MAX:,} characters: name less")
        return CreateTokenSuccess(
            token=token,
            expires_at=datetime.fromtimestamp(allowed.expires_at or 0, UTC),
            scopes=Viewer.of(allowed).scopes,
        )


def _problems(info: Info, asked: CreateTokenInput) -> Iterator[errors.Problem]:
    for name in ("scopes", "definitions", "task_ids"):
        given = getattr(asked, name)
        if given is not None and not 1 <= len(given) <= _ENTRIES_MAX:
            text = f"1 to {_ENTRIES_MAX} entries, not {len(given)}"
            yield errors.Problem(("input", name), text)
    if asked.task_ids is not None and Scope.ENQUEUE in asked.scopes:
        text = "A token that is held to tasks enqueues none: leave ENQUEUE out"
        yield errors.Problem(("input", "scopes"), text)
    known = {*info.context.engine.definitions, WORKFLOW}
    for i, name in enumerate(asked.definitions or ()):
        if name not in known:
            text = f"There is no task definition {name!r}"
            yield errors.Problem(("input", "definitions", str(i)), text)
    own = info.context.viewer.definitions
    if asked.definitions and own is not None and own.isdisjoint(asked.definitions):
        text = "Your own token is held to others"
        yield errors.Problem(("input", "definitions"), text)
    if not 1 <= asked.expires_in_seconds <= _LIFE_MAX_S:
        text = f"1 to {_LIFE_MAX_S:,} seconds, not {asked.expires_in_seconds:g}"
        yield errors.Problem(("input", "expires_in_seconds"), text)


async def _unseen(
    info: Info, ids: list[strawberry.ID], made: viewer.Viewer
) -> list[errors.Problem]:
    """Refuse tasks that the token would not show, as others' without ADMIN."""
    seen = await info.context.records.load_many(ids[:_ENTRIES_MAX])
    return [
        errors.Problem(("input", "task_ids", str(i)), str(errors.NotFound(id_)))
        for i, (id_, record) in enumerate(zip(ids, seen, strict=False))
        if record is None or not made.may_see(record)
    ]


def _narrowed(asking: viewer.Viewer, asked: CreateTokenInput) -> viewer.Viewer:
    definitions, expires_at = asking.definitions, time.time() + asked.expires_in_seconds
    if asked.definitions is not None:
        given = frozenset(asked.definitions)
        definitions = given if definitions is None else given & definitions
    return replace(
        asking,
        scopes=frozenset(asked.scopes),
        definitions=definitions,
        task_ids=asking.task_ids if asked.task_ids is None else frozenset(asked.task_ids),
        expires_at=expires_at if asking.expires_at is None else min(expires_at, asking.expires_at),
    )


def _refusal(message: str) -> errors.InvalidInput:
    return errors.InvalidInput([errors.Problem(("input",), message)])
