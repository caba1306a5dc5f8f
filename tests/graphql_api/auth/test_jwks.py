"""When a JWKS is fetched from its URL, and which keys are kept during an outage."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from celeryql.settings import Settings
from graphql_api.auth.authenticator import Authenticator, Unauthenticated
from graphql_api.auth.jwks import KeySet, fetch
from tests.jwks import jwks
from tests.processes import wait_until

OLD, NEW = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()


@dataclass
class Provider:
    """An identity provider that publishes its keys."""

    body: str = ""
    status: int = 200
    requests: int = 0
    may_answer: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def keys(self, **options: float) -> KeySet:
        return KeySet(partial(fetch, self.url), **options)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider(jwks(old=OLD))
    provider.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.requests += 1
            provider.may_answer.wait(10)
            self.send_response(provider.status)
            self.end_headers()
            self.wfile.write(provider.body.encode())

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        provider.url = f"http://127.0.0.1:{server.server_port}/keys"
        yield provider
        provider.may_answer.set()
        server.shutdown()
        thread.join()


async def test_keys_are_fetched_once_and_kept(provider):
    keys = provider.keys()

    found = [await keys.find("old") for _ in range(5)]

    assert provider.requests == 1
    assert found[0] is not None
    assert len(set(map(id, found))) == 1


async def test_an_unknown_key_id_fetches_the_keys_again(provider):
    keys = provider.keys(cooldown_s=0)
    assert await keys.find("new") is None

    provider.body = jwks(old=OLD, new=NEW)

    assert await keys.find("new")
    assert await keys.find("old")
    assert provider.requests == 2


async def test_unknown_key_ids_fetch_nothing_within_the_cooldown(provider):
    keys = provider.keys(cooldown_s=60)

    found = await asyncio.gather(*(keys.find(f"made up {i}") for i in range(50)))

    assert found == [None] * 50
    assert provider.requests == 1


async def test_a_withdrawn_key_is_refused_after_the_next_fetch(provider):
    keys = provider.keys(fresh_s=0, cooldown_s=0)
    assert await keys.find("old")

    provider.body = jwks(new=NEW)

    assert await keys.find("old") is None


@pytest.mark.parametrize(
    ("status", "body"), [(500, ""), (200, "<html>"), (200, '{"keys": []}'), (200, "[" * 99_999)]
)
async def test_old_keys_are_kept_while_the_provider_fails(provider, caplog, status, body):
    keys = provider.keys(fresh_s=0, cooldown_s=0)
    assert await keys.find("old")

    provider.status, provider.body = status, body

    assert await keys.find("old")
    assert provider.requests == 2
    assert "the known keys are kept" in caplog.text


async def test_old_keys_are_kept_while_the_provider_is_down(provider):
    keys = KeySet(lambda: fetch(provider.url), fresh_s=0, cooldown_s=0)
    assert await keys.find("old")

    provider.url = "http://127.0.0.1:1/keys"

    assert await keys.find("old")


async def test_a_known_key_is_found_without_waiting_for_a_fetch(provider):
    keys = provider.keys(fresh_s=0, cooldown_s=0)
    assert await keys.find("old")
    provider.may_answer.clear()

    waiting = asyncio.create_task(keys.find("new"))
    await asyncio.to_thread(wait_until, lambda: provider.requests == 2, "the second request")
    async with asyncio.timeout(0.5):
        assert await keys.find("old")

    assert not waiting.done()
    provider.may_answer.set()
    assert await waiting is None


async def test_tokens_are_verified_with_the_keys_at_the_url(provider):
    authenticator = Authenticator(Settings(auth_jwks_url=provider.url))

    def token(key, key_id):
        claims = {"sub": "ann", "exp": time.time() + 60}
        return f"Bearer {jwt.encode(claims, key, 'EdDSA', {'kid': key_id})}"

    assert (await authenticator.authenticate(token(OLD, "old"))).subject == "ann"
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(token(NEW, "old"))
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(token(NEW, "new"))
