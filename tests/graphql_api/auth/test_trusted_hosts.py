"""Which addresses an API without authentication may listen on."""

from __future__ import annotations

import pytest

from graphql_api.auth.trusted_hosts import StartRefused, refuse_public


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_addresses_are_allowed(host: str) -> None:
    refuse_public(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_addresses_that_other_machines_reach_are_refused(host: str) -> None:
    with pytest.raises(StartRefused, match="without authentication"):
        refuse_public(host)
