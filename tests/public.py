"""Settings and tokens of an API on a public host, behind a proxy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from graphql_api.auth.authenticator import Scope
from tests.jwks import jwks
from tests.serving import METRICS_TOKEN

KINDS = ("one_machine", "public_host")  # of an API, for tests that run against both
PAGE = "https://app.example.com"

_KEY = Ed25519PrivateKey.generate()
_CLAIMS = {"sub": "ann", "exp": 2**32, "scope": " ".join(Scope)}
#: Grants every scope.
TOKEN = jwt.encode(_CLAIMS, _KEY, "EdDSA", headers={"kid": "public"})
#: Signed with keys that nobody has published, or not signed at all.
SIGNED_BY_NOBODY = (
    jwt.encode(_CLAIMS, Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "public"}),
    jwt.encode(_CLAIMS, Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "another"}),
    jwt.encode(_CLAIMS, Ed25519PrivateKey.generate(), "EdDSA"),
    jwt.encode(_CLAIMS, "x" * 32, "HS256", headers={"kid": "public"}),
    jwt.encode(_CLAIMS, None, "none", headers={"kid": "public"}),
)
#: Headers of a request that the proxy forwards.
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "192.0.2.7"}


def public_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a public host, and write its key set into the folder."""
    keys = folder / "jwks.json"
    keys.write_text(jwks(public=_KEY))
    return {
        "auth_jwks_file": str(keys),
        "cors_origins": [PAGE],
        "allowed_hosts": ["api.example.com"],
        "proxy_headers": True,
        "metrics_token": METRICS_TOKEN,
    }


def public_environment(folder: Path) -> dict[str, str]:
    """Return the same settings as environment variables."""
    return {
        name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in public_settings(folder).items()
    }
