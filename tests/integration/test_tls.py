"""`rediss://`: API, worker and plain callers use verified TLS on every connection."""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from redis import Redis

from celeryql.settings import PROJECT_ROOT, Settings
from celeryql.worker.health import check_worker
from tests.client import Client
from tests.processes import run_to_end, running, running_api, running_worker, wait_until
from tests.tls import Authority, listening, tls_front

pytestmark = pytest.mark.slow

PASSWORD = "p#a/s?s@w:o%r;d+é"
WATCH = "subscription($id: ID!) { task(id: $id) { task { state ... on AddTask { result } } } }"
PLAIN = "from tasks.arithmetic import add; print(add.delay(4, 5).get(timeout=10))"
TLS_HANDSHAKE = b"\x16"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def port(redis_url: str) -> int:
    """The port of a Redis without TLS, where `ann` may do everything."""
    with Redis.from_url(redis_url) as redis:
        redis.acl_setuser(
            "ann",
            enabled=True,
            passwords=[f"+{PASSWORD}"],
            keys="*",
            channels="*",
            categories=["+@all"],
        )
    return urlsplit(redis_url).port


def server_context(authority: Authority, *addresses: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", *addresses))
    return context


def url_of(host: str, port: int, **options: object) -> str:
    query = urlencode(options)
    return f"rediss://ann:{quote(PASSWORD, safe='')}@{host}:{port}/3?{query}"


def is_ready(api: str) -> bool:
    try:
        return urllib.request.urlopen(f"{api}/readyz", timeout=2).status == 200
    except urllib.error.HTTPError:
        return False


async def test_everything_works_over_tls_with_certificates_on_both_sides(authority, port, tmp_path):
    context = server_context(authority, "::1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    certificate, key = authority.issue("client")
    files = {
        "ssl_ca_certs": authority.certificate,
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
        "ssl_cert_reqs": "CERT_REQUIRED",
    }
    with tls_front("::1", context, port) as front:
        url = url_of("[::1]", front.port, **files)
        with (
            running_api({"REDIS_URL": url}, tmp_path / "api.log") as api,
            running_worker("celery", {"REDIS_URL": url}, tmp_path / "worker.log"),
        ):
            wait_until(lambda: is_ready(api), "API ready")
            client = Client(api)
            events = await client.events(WATCH, id=await client.enqueue("add", x=4, y=5))
            plain = await asyncio.to_thread(run_to_end, ["-c", PLAIN], PROJECT_ROOT, REDIS_URL=url)
            workers = (await client.execute("{ workers { name online } }"))["workers"]
            problem = check_worker(Settings(redis_url=url).redis_url, workers[0]["name"])

    assert events[-1]["task"] == {"state": "SUCCEEDED", "result": 9}
    assert plain.stdout == "9.0\n", plain.stderr
    assert [worker["online"] for worker in workers] == [True]
    assert problem is None


@pytest.mark.parametrize("has_ca", [False, True], ids=["unknown authority", "another host"])
def test_a_server_that_cannot_be_verified_gets_no_data(authority, port, tmp_path, has_ca):
    options = {"ssl_ca_certs": authority.certificate} if has_ca else {}
    with tls_front("127.0.0.1", server_context(authority, "127.9.9.9"), port) as front:
        url = url_of("127.0.0.1", front.port, **options)
        with running_api({"REDIS_URL": url}, tmp_path / "api.log") as api:
            log = tmp_path / "worker.log"
            with running(["celery", "-A", "tasks", "worker"], {"REDIS_URL": url}, log):
                wait_until(
                    lambda: "CERTIFICATE_VERIFY_FAILED" in log.read_text(), "certificate refused"
                )
            assert not is_ready(api)

    assert front.accepted == 0


def test_no_connection_sends_its_password_unencrypted(tmp_path):
    with listening("127.0.0.1") as listener:
        environment = {"REDIS_URL": f"rediss://:sekret@127.0.0.1:{listener.port}/0"}
        worker = ["celery", "-A", "tasks", "worker"]
        log = tmp_path / "worker.log"
        with (
            running(worker, environment, log),
            running_api(environment, tmp_path / "api.log") as api,
        ):
            assert not is_ready(api)
            wait_until(
                lambda: log.read_text().count("Cannot connect") > 1, "worker trying to connect"
            )
            said = run_to_end(
                ["-m", "graphql_api.local.redis_prompt", "PING"], PROJECT_ROOT, **environment
            )

    assert said.stderr.startswith("No Redis to talk to (")
    assert len(listener.first_bytes) > 5
    assert {first[:1] for first in listener.first_bytes} == {TLS_HANDSHAKE}
