"""JSON Web Key Sets, as an identity provider publishes them."""

from __future__ import annotations

import json
from typing import Any

from jwt.algorithms import get_default_algorithms


def public_jwk(key: Any, key_id: str) -> dict[str, Any]:
    """Return the JSON Web Key of a private key's public half."""
    names = {"RSAPrivateKey": "RS256", "ECPrivateKey": "ES256", "Ed25519PrivateKey": "EdDSA"}
    algorithm = get_default_algorithms()[names[type(key).__name__]]
    described: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {name: value for name, value in described.items() if name != "key_ops"} | {"kid": key_id}


def jwks(**keys: Any) -> str:
    """Return the key set of private keys, given by their ids."""
    return json.dumps({"keys": [public_jwk(key, key_id) for key_id, key in keys.items()]})
