"""The public keys that verify tokens, from a JWKS file or URL, and when they are fetched again.

PyJWT's `PyJWKClient` does not keep these bounds: while the provider fails, it drops known keys when
they are old and fetches for every request. It also makes all callers wait for a fetch, and reads
answers of any size.
"""

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

_FRESH_S = 300.0  # how long a withdrawn key is still accepted
_COOLDOWN_S = 5.0  # between two fetches, however many unknown key ids clients send
_FETCH_TIMEOUT_S = 3.0  # for each network operation
_READ_TIMEOUT_S = 5.0  # for the whole fetch
_MAX_BYTES = 1_000_000
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_FITTING: dict[tuple[str | None, str | None], tuple[str, ...]] = {  # by key type and curve
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
#: All algorithms that a public key can be used with.
ALGORITHMS = [name for names in _FITTING.values() for name in names]
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth"}  # members that belong to private keys only

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicKey:
    """A key and the algorithms that it may be used with."""

    value: AllowedPublicKeys
    algorithms: list[str]


def parse_keys(text: bytes) -> dict[str | None, PublicKey]:
    """Parse a JWKS, and skip the keys that cannot verify signatures.

    Raises:
        ValueError: the text is not a JWKS, or none of its keys can verify signatures.
    """
    document = json.loads(text)
    listed = document.get("keys") if isinstance(document, dict) else None
    found = {
        jwk.get("kid"): key
        for jwk in (listed if isinstance(listed, list) else [])
        if isinstance(jwk, dict) and (key := _public_key(jwk))
    }
    if not found:
        raise ValueError("it contains no supported public key")
    return found


def _public_key(jwk: dict[str, Any]) -> PublicKey | None:
    names = [jwk.get(member) for member in ("kty", "crv", "kid")]
    if not all(isinstance(name, str | None) for name in names):
        return None
    # Shared secrets (`oct`) are not supported here: a JWKS is public.
    fitting = _FITTING.get((jwk.get("kty"), jwk.get("crv")), ())
    algorithms = [name for name in fitting if jwk.get("alg") in (None, name)]
    if not algorithms or jwk.get("use") not in (None, "sig"):
        return None
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415  # see `authenticator.py`

    public = {name: value for name, value in jwk.items() if name not in _PRIVATE}
    try:
        return PublicKey(PyJWK(public, algorithms[0]).key, algorithms)
    except (PyJWTError, ValueError, TypeError) as error:
        logger.warning("Skipped the invalid key %r: %s", jwk.get("kid"), type(error).__name__)
        return None


def fetch(url: str) -> bytes:
    """Fetch a URL. This blocks, so call it in a thread.

    Raises:
        OSError: the server does not answer, or answers with an error status.
        HTTPException: the answer is not HTTP.
    """
    # The settings accept only http and https URLs.
    with urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310
        body: bytes = answer.read(_MAX_BYTES)
    return body


class KeySet:
    """The keys of one source, fetched again when they are old or a key id is unknown.

    If a fetch fails, the known keys are kept.
    """

    def __init__(
        self,
        source: Callable[[], bytes],
        *,
        fresh_s: float = _FRESH_S,
        cooldown_s: float = _COOLDOWN_S,
    ) -> None:
        """Start without keys.

        Args:
            source: returns the JWKS; it may block, as it is called in a thread.
            fresh_s: how long keys are used before they are fetched again.
            cooldown_s: the minimum time between two fetches.
        """
        self._source = source
        self._fresh_s = fresh_s
        self._pause_s = cooldown_s
        self._keys: dict[str | None, PublicKey] = {}
        self._succeeded_at = self._fetched_at = float("-inf")
        self._fetch_lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> PublicKey | None:
        """Find a key by its id. A token without a key id matches if there is only one key."""
        is_old = time.monotonic() - self._succeeded_at > self._fresh_s
        key = self._get(key_id)
        # A caller whose key is known does not wait for a fetch that another caller started.
        if key is None or (is_old and not self._fetch_lock.locked()):
            await self._refresh()
            key = self._get(key_id)
        return key

    def _get(self, key_id: str | None) -> PublicKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        async with self._fetch_lock:
            if time.monotonic() - self._fetched_at < self._pause_s:
                return
            self._fetched_at = time.monotonic()
            try:
                async with asyncio.timeout(_READ_TIMEOUT_S):
                    self._keys = parse_keys(await asyncio.to_thread(self._source))
            except (OSError, HTTPException, ValueError, RecursionError) as error:
                logger.warning("The JWKS cannot be fetched, so the known keys are kept: %s", error)
            else:
                self._succeeded_at = time.monotonic()
