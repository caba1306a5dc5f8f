"""Which addresses and host names may reach an API without authentication."""

from __future__ import annotations

import pytest

from graphql_api.auth.trusted_hosts import StartRefused, is_trusted_host, refuse_public


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_addresses_are_allowed(host: str) -> None:
    refuse_public(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_addresses_that_other_machines_reach_are_refused(host: str) -> None:
    with pytest.raises(StartRefused, match="without authentication"):
        refuse_public(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "[::1]:8000",
        "localhost:8000",
        "api.localhost",
        "api",
        "api.example.org:80",
    ],
)
def test_addresses_local_names_and_allowed_names_are_trusted(host: str) -> None:
    assert is_trusted_host(host, ("api.example.org",))


@pytest.mark.parametrize("host", ["evil.example", "api.example.org.evil.example:8000", "1.2.3"])
def test_other_domain_names_are_not_trusted(host: str) -> None:
    assert not is_trusted_host(host, ("api.example.org",))
