"""Who asks, and what they may do: a bearer token becomes a `Viewer`, and a `Viewer` a token.

PyJWT is imported only where there are tokens: with all it needs it is 9 MB and 0.1 s of a start.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FiniteFloat,
    StringConstraints,
    ValidationError,
)

from celeryql.errors import BadSettings
from celeryql.settings import Settings
from graphql_api.auth.jwks import ALGORITHMS, KeySet, fetch, parse_keys
from graphql_api.auth.viewer import Scope, Viewer

__all__ = ["Authenticator", "Scope", "Unauthenticated", "Viewer"]

TOKEN_MAX = 16_000  # characters; above what `createToken` makes of its longest lists
_SIGNED_WITH = "HS256"
_SECRET_MIN = 32  # bytes: as long as what HS256 makes of it, or it can be guessed offline
_SUBJECT_MAX = 255  # characters; it is part of keys in Redis
_LEEWAY_S = 10.0  # by which the clock of whoever made a token may be ahead of ours

_ANYONE = Viewer()  # where no tokens are asked for

logger = logging.getLogger(__name__)


class Unauthenticated(Exception):
    """There is no token, or none that counts; the message is for the client."""


def _scopes(claim: Any) -> set[Scope]:
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list):
        raise ValueError("neither words nor a list")  # noqa: TRY004  # as pydantic wants it
    return {scope for scope in Scope if scope.value in words}


def _still_ahead(expires_at: float) -> float:
    if expires_at <= time.time():
        raise ValueError("it has passed")
    return expires_at


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, defer_build=True)

    sub: Annotated[str, StringConstraints(min_length=1, max_length=_SUBJECT_MAX)]
    # Without leeway: else a token that is made of another could outlive it.
    exp: Annotated[FiniteFloat, AfterValidator(_still_ahead)]
    scope: Annotated[frozenset[Scope], BeforeValidator(_scopes)] = frozenset()
    definitions: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None


class Authenticator:
    """Checks the tokens of one installation, and signs some of its own."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys that there are; what is behind a URL is fetched when it is needed.

        Raises:
            BadSettings: they contradict each other, or a key is of no use.
        """
        secret = settings.auth_jwt_secret
        self._secret = secret.get_secret_value().encode() if secret else None
        if self._secret is not None and len(self._secret) < _SECRET_MIN:
            raise BadSettings(f"AUTH_JWT_SECRET is shorter than {_SECRET_MIN} bytes")
        self._keys = _key_set(settings)
        self._audience = settings.auth_audience
        self._issuer = settings.auth_issuer
        if not self.is_on and (self._audience or self._issuer):
            raise BadSettings(
                "AUTH_AUDIENCE and AUTH_ISSUER are checked in tokens, and there is no key to check "
                "tokens with: set AUTH_JWT_SECRET, AUTH_JWKS_FILE or AUTH_JWKS_URL"
            )

    @property
    def is_on(self) -> bool:
        """Whether a token is asked for."""
        return self.can_sign or self._keys is not None

    @property
    def can_sign(self) -> bool:
        """Whether there is a secret to sign tokens with."""
        return self._secret is not None

    async def viewer(self, authorization: str | None) -> Viewer:
        """Tell who asks, by the value of an `Authorization` header.

        Raises:
            Unauthenticated: there is no token, or it does not hold.
        """
        if not self.is_on:
            return _ANYONE
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("A token is needed: send `Authorization: Bearer <token>`")
        import jwt  # noqa: PLC0415

        try:
            claims = _Claims.model_validate(await self._verified(token.strip()))
        except (jwt.PyJWTError, ValidationError) as error:
            logger.info("A token was refused: %s", type(error).__name__)
            raise Unauthenticated("The token is not valid, or not any more") from error
        return Viewer(claims.sub, claims.scope, claims.definitions, claims.task_ids, claims.exp)

    def sign(self, viewer: Viewer) -> str:
        """Make the token of a viewer, which `viewer` will then tell; it has to end some day.

        Raises:
            BadSettings: there is no secret to sign with.
        """
        if self._secret is None:
            raise BadSettings("AUTH_JWT_SECRET must be set for that")
        import jwt  # noqa: PLC0415

        claims = {
            "sub": viewer.subject,
            "scope": " ".join(sorted(viewer.scopes)),
            "iat": time.time(),
            "exp": viewer.expires_at,
            "iss": self._issuer,
            "aud": self._audience,
            "definitions": _listed(viewer.definitions),
            "task_ids": _listed(viewer.task_ids),
        }
        given = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(given, self._secret, algorithm=_SIGNED_WITH)

    async def _verified(self, token: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415

        if len(token) > TOKEN_MAX or not token.isascii():
            raise jwt.DecodeError
        key, algorithms = await self._key(jwt.get_unverified_header(token))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY_S,
            options={
                "require": ["exp", "sub"],
                "verify_aud": self._audience is not None,
                "enforce_minimum_key_length": True,
            },
        )
        return claims

    async def _key(self, header: dict[str, Any]) -> tuple[Any, list[str]]:
        """Choose the key, and with it the algorithms: what the token names is only looked up."""
        if header.get("alg") == _SIGNED_WITH and self._secret is not None:
            return self._secret, [_SIGNED_WITH]
        if header.get("alg") in ALGORITHMS and self._keys is not None:
            found = await self._keys.find(header.get("kid"))
            if found is not None:
                return found.value, found.algorithms
        from jwt import InvalidKeyError  # noqa: PLC0415

        raise InvalidKeyError


def _key_set(settings: Settings) -> KeySet | None:
    file, url = settings.auth_jwks_file, settings.auth_jwks_url
    if file and url:
        raise BadSettings("AUTH_JWKS_FILE and AUTH_JWKS_URL are both set: choose one")
    if url:
        return KeySet(partial(fetch, str(url)))
    if file is None:
        return None
    try:
        parse_keys(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadSettings(f"AUTH_JWKS_FILE {file} is no JWKS that can be read: {error}") from error
    return KeySet(file.read_bytes)


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
