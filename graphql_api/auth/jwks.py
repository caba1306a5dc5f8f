"""Public keys that tokens are checked with, by their ids: a JWKS in a file or behind a URL."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPublicKeys

_FRESH_S = 300.0  # how long a key that was withdrawn is still honoured
_PAUSE_S = 5.0  # between two tries at least, however many keys somebody makes up
_FETCH_TIMEOUT_S = 3.0  # for each packet
_READ_TIMEOUT_S = 5.0  # for all of them
_MAX_BYTES = 1_000_000
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_FITTING: dict[tuple[str | None, str | None], tuple[str, ...]] = {  # by kind and curve of a key
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
#: All that a public key may be used with.
ALGORITHMS = [name for names in _FITTING.values() for name in names]
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth"}  # members of a key that nobody should publish

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicKey:
    """One key, and the algorithms that it may be used with."""

    value: AllowedPublicKeys
    algorithms: list[str]


def parse_keys(text: bytes) -> dict[str | None, PublicKey]:
    """Read a JWKS; what is of no use for checking signatures is left out.

    Raises:
        ValueError: it is no JWKS, or nothing in it is of use.
    """
    document = json.loads(text)
    listed = document.get("keys") if isinstance(document, dict) else None
    found = {
        jwk.get("kid"): key
        for jwk in (listed if isinstance(listed, list) else [])
        if isinstance(jwk, dict) and (key := _public_key(jwk))
    }
    if not found:
        raise ValueError("there is no public key of a known kind in it")
    return found


def _public_key(jwk: dict[str, Any]) -> PublicKey | None:
    names = [jwk.get(member) for member in ("kty", "crv", "kid")]
    if not all(isinstance(name, str | None) for name in names):
        return None
    # A shared secret (`oct`) has no place among keys that are public.
    fitting = _FITTING.get((jwk.get("kty"), jwk.get("crv")), ())
    algorithms = [name for name in fitting if jwk.get("alg") in (None, name)]
    if not algorithms or jwk.get("use") not in (None, "sig"):
        return None
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415  # as in `auth.py`

    public = {name: value for name, value in jwk.items() if name not in _PRIVATE}
    try:
        return PublicKey(PyJWK(public, algorithms[0]).key, algorithms)
    except (PyJWTError, ValueError, TypeError) as error:
        logger.warning("Key %r cannot be read: %s", jwk.get("kid"), type(error).__name__)
        return None


def fetch(url: str) -> bytes:
    """Read what is behind a URL; this blocks for some seconds at most.

    Raises:
        OSError: there is no answer, or none that it should be.
        HTTPException: what answers speaks no HTTP.
    """
    # The settings allow http and https only.
    with urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310
        body: bytes = answer.read(_MAX_BYTES)
    return body


class KeySet:
    """The keys of one source, read again when they are old, or one is asked for that is not there.

    While the source fails, the keys that are known stay.
    """

    def __init__(
        self,
        source: Callable[[], bytes],
        *,
        fresh_s: float = _FRESH_S,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """Begin without keys.

        Args:
            source: gives the JWKS, blocking; it is called in a thread.
            fresh_s: how long keys are used before they are read again.
            pause_s: how long to wait between two tries.
        """
        self._source = source
        self._fresh_s = fresh_s
        self._pause_s = pause_s
        self._keys: dict[str | None, PublicKey] = {}
        self._read_at = self._tried_at = float("-inf")
        self._turn = asyncio.Lock()

    async def find(self, key_id: str | None) -> PublicKey | None:
        """Find a key; one without a name is found where it is the only one."""
        is_old = time.monotonic() - self._read_at > self._fresh_s
        key = self._get(key_id)
        # Who needs no new key does not wait for one that another has asked for.
        if key is None or (is_old and not self._turn.locked()):
            await self._refresh()
            key = self._get(key_id)
        return key

    def _get(self, key_id: str | None) -> PublicKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        async with self._turn:
            if time.monotonic() - self._tried_at < self._pause_s:
                return
            self._tried_at = time.monotonic()
            try:
                async with asyncio.timeout(_READ_TIMEOUT_S):
                    self._keys = parse_keys(await asyncio.to_thread(self._source))
            except (OSError, HTTPException, ValueError, RecursionError) as error:
                logger.warning("Keys cannot be read, those known are kept: %s", error)
            else:
                self._read_at = time.monotonic()
