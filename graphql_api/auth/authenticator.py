"""Bearer tokens: verify one to get its `Viewer`, or sign one for a `Viewer`.

Functions import PyJWT when they need it: importing it takes 9 MB and 0.1 s.
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

TOKEN_MAX = 16_000  # characters; more than `createToken` needs for its longest lists
_SIGNED_WITH = "HS256"
_SECRET_MIN = 32  # bytes: the length of an HS256 signature; a shorter secret can be guessed offline
_SUBJECT_MAX = 255  # characters; it is part of keys in Redis
_LEEWAY_S = 10.0  # how far the clock of the token's issuer may be ahead of ours

_ANYONE = Viewer()  # the viewer of every request if authentication is off

logger = logging.getLogger(__name__)


class Unauthenticated(Exception):
    """The token is missing or invalid; the message is for the client."""


def _scopes(claim: Any) -> set[Scope]:
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list):
        raise ValueError("neither words nor a list")  # noqa: TRY004  # pydantic expects this class
    return {scope for scope in Scope if scope.value in words}


def _still_ahead(expires_at: float) -> float:
    if expires_at <= time.time():
        raise ValueError("it has passed")
    return expires_at


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, defer_build=True)

    sub: Annotated[str, StringConstraints(min_length=1, max_length=_SUBJECT_MAX)]
    # Checked without leeway, so that a token cannot outlive the token that created it.
    exp: Annotated[FiniteFloat, AfterValidator(_still_ahead)]
    scope: Annotated[frozenset[Scope], BeforeValidator(_scopes)] = frozenset()
    definitions: frozenset[str] | None = None
    task_ids: frozenset[str] | None = None


class Authenticator:
    """Verifies the tokens of one installation and signs new ones."""

    def __init__(self, settings: Settings) -> None:
        """Load the keys; those at a URL are fetched when a token first needs them.

        Raises:
            BadSettings: the settings contradict each other, or a key is invalid.
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
                "AUTH_AUDIENCE or AUTH_ISSUER is set, but there is no key to check tokens with: "
                "set AUTH_JWT_SECRET, AUTH_JWKS_FILE or AUTH_JWKS_URL"
            )

    @property
    def is_on(self) -> bool:
        """Whether requests need a token."""
        return self.can_sign or self._keys is not None

    @property
    def can_sign(self) -> bool:
        """Whether a secret to sign tokens is configured."""
        return self._secret is not None

    async def authenticate(self, authorization: str | None) -> Viewer:
        """Return the viewer for the value of an `Authorization` header.

        Raises:
            Unauthenticated: the token is missing or invalid.
        """
        if not self.is_on:
            return _ANYONE
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("A token is required: send `Authorization: Bearer <token>`")
        import jwt  # noqa: PLC0415

        try:
            claims = _Claims.model_validate(await self._verified(token.strip()))
        except (jwt.PyJWTError, ValidationError) as error:
            logger.info("A token was refused: %s", type(error).__name__)
            raise Unauthenticated("The token is invalid or has expired: get a new one") from error
        return Viewer(claims.sub, claims.scope, claims.definitions, claims.task_ids, claims.exp)

    def sign(self, viewer: Viewer) -> str:
        """Sign a token for a viewer with an expiry time; `viewer` turns it back into that viewer.

        Raises:
            BadSettings: no secret to sign tokens is configured.
        """
        if self._secret is None:
            raise BadSettings("Tokens can be signed only if AUTH_JWT_SECRET is set")
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
        """Choose the key and its algorithms; the token can only select among configured keys."""
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
        raise BadSettings(f"AUTH_JWKS_FILE {file} is not a readable JWKS: {error}") from error
    return KeySet(file.read_bytes)


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
