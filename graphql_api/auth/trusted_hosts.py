"""Which addresses and host names may reach an API that has no authentication."""

from __future__ import annotations

import ipaddress


class StartRefused(Exception):
    """The start was refused; the message says why and what to do."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_public(host: str) -> None:
    """Refuse to listen on an address that other machines can reach.

    Raises:
        StartRefused: the host is not a loopback address.
    """
    if not is_loopback(host):
        raise StartRefused(
            f"{host} is not a loopback address: without authentication, anyone who reaches it "
            "could run tasks; set AUTH_JWT_SECRET, AUTH_JWKS_FILE or AUTH_JWKS_URL "
            "(docs/security.md), use --host 127.0.0.1, or pass --insecure if you trust everyone "
            "on that network"
        )


def is_trusted_host(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a `Host` header may name an API that has no authentication.

    This stops DNS rebinding: a website that points its own domain at this machine would have the
    same origin as the API. It cannot do so with an IP address or with a name that has no dot.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name in allowed or "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
