"""Which forms of `REDIS_URL` are accepted, and why the others are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from celeryql.redis_url import tls_options, without_options
from celeryql.settings import Settings

VERIFIED = "?ssl_cert_reqs=required&ssl_check_hostname=true"
UNVERIFIED = "?ssl_cert_reqs=none&ssl_check_hostname=true"
ACCEPTED = {
    "redis://host": "redis://host:6379/0",
    "redis://:secret@127.0.0.1:7000/3": "redis://:secret@127.0.0.1:7000/3",
    "redis://ann:se%23cr%2Fet%40@host/": "redis://ann:se%23cr%2Fet%40@host:6379/0",
    "redis://ann:a+b;c@host": "redis://ann:a%2Bb%3Bc@host:6379/0",
    "redis://ann:%C3%A9@host": "redis://ann:%C3%A9@host:6379/0",
    "redis://[::1]:7000/1": "redis://[::1]:7000/1",
    "REDIS://Some_Host.local": "redis://some_host.local:6379/0",
    "rediss://:secret@host": f"rediss://:secret@host:6379/0{VERIFIED}",
    "rediss://host?ssl_cert_reqs=CERT_NONE": f"rediss://host:6379/0{UNVERIFIED}",
    "rediss://host?ssl_cert_reqs=none": f"rediss://host:6379/0{UNVERIFIED}",
    "rediss://host/2?ssl_check_hostname=False": (
        "rediss://host:6379/2?ssl_cert_reqs=required&ssl_check_hostname=false"
    ),
}
REFUSED = {
    "redis://:geheim#x@127.0.0.1:6379/0": "percent-encode # (%23)",
    "redis://:gehe/im@127.0.0.1:6379/0": "percent-encode # (%23), / (%2F)",
    "redis://:gehe?im@127.0.0.1:6379/0": "percent-encode # (%23)",
    "redis://:gehe[im@127.0.0.1:6379/0": "percent-encode [ and ]",
    "redis://:gehe im@127.0.0.1:6379/0": "it has a space or a control character",
    "redis://:geheim@127.0.0.1:6379/0\n": "it has a space or a control character",
    "redis://:geheim%ff@127.0.0.1:6379/0": "not percent-encoded UTF-8",
    "127.0.0.1:6379": "it has no scheme",
    ":geheim@127.0.0.1": "it has no scheme",
    "http://:geheim@127.0.0.1": "neither redis:// nor rediss://",
    "sentinel://:geheim@127.0.0.1:26379": "a proxy, such as HAProxy, that follows the primary",
    "unix://:geheim@/run/redis.sock": "unix sockets are not supported",
    "redis+socket:///run/redis.sock": "unix sockets are not supported",
    "redis://:geheim@": "it names no valid host",
    "redis:///0": "it names no valid host",
    "redis://a,b/0": "it names no valid host",
    "redis://one;redis://two": "not the number of a database",
    "redis://:geheim@host:0/0": "its port is not a number from 1 to 65535",
    "redis://:geheim@host:abc/0": "its port is not a number from 1 to 65535",
    "redis://:geheim@host/abc": "not the number of a database",
    "redis://:geheim@host/-1": "not the number of a database",
    "redis://:geheim@host/0?db=1": "its options can be ssl_cert_reqs,",
    "redis://:geheim@host/0?ssl_cert_reqs=none": "needs rediss://",
    "rediss://:geheim@host?ssl_cert_reqs=bogus": "ssl_cert_reqs can be required, optional or none",
    "rediss://:geheim@host?ssl_cert_reqs=": "ssl_cert_reqs can be required, optional or none",
    "rediss://:geheim@host?ssl_check_hostname=maybe": "ssl_check_hostname true or false",
    "rediss://:geheim@host?ssl_ca_certs=/none": "/none: No such file",
    f"rediss://:geheim@host?ssl_ca_certs={__file__}": "its ssl_ca_certs cannot be used",
    f"rediss://:geheim@host?ssl_certfile={__file__}": "its ssl_certfile cannot be used",
    f"rediss://:geheim@host?ssl_keyfile={__file__}": "ssl_keyfile is given without ssl_certfile",
    "rediss://host?ssl_cert_reqs=none&ssl_cert_reqs=required": "each once",
}


def checked(url: str) -> str:
    return Settings(redis_url=url).redis_url


@pytest.mark.parametrize("given", ACCEPTED)
def test_a_url_is_converted_to_one_form(given: str) -> None:
    assert checked(given) == ACCEPTED[given]
    assert checked(checked(given)) == ACCEPTED[given]


@pytest.mark.parametrize("given", REFUSED)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(given: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        checked(given)

    (problem,) = refusal.value.errors()
    assert problem["loc"] == ("redis_url",)
    assert REFUSED[given] in problem["msg"]
    assert "gehe" not in problem["msg"]


def test_celery_gets_the_tls_options_separately() -> None:
    url = checked("rediss://:secret@host?ssl_cert_reqs=CERT_OPTIONAL")

    assert without_options(url) == "rediss://:secret@host:6379/0"
    assert tls_options(url) == {"ssl_cert_reqs": "optional", "ssl_check_hostname": True}
    assert tls_options("redis://host:6379/0") is None
