"""Settings that cannot be used: one sentence says which, and tells nothing of the value."""

from __future__ import annotations

import os
from urllib.request import urlopen

import pytest

from celeryql.errors import BadSettings
from celeryql.settings import PROJECT_ROOT, Settings
from tests.processes import run_to_end, running_api

BAD = {
    "PORT": "abc",
    "LOG_LEVEL": "verbose",
    "AUTH_JWKS_URL": "ftp://ann:hunter2@example.com",
    "AUTH_JWT_SECRET": "hunter2",
    "ALLOWED_HOSTS": "hunter2.example.com",
    "CORS_ORIGINS": '["https://hunter2.example.com/app"]',
    "ENQUEUE_RATE": "inf",
    "REDIS_URL": "redis://:hunter2#x@127.0.0.1:6379/0",
    "CELERY_BROKER_URL": "redis://:hunter2@127.0.0.1:6379/0",
}
PROGRAMS = {
    "server": ["-m", "graphql_api.server"],
    "up": ["-m", "graphql_api.local"],
    "worker": ["-m", "celery", "-A", "tasks", "worker"],
}
OF_THE_API = {"AUTH_JWT_SECRET"}  # whose length the API alone looks at

# Each kind of value with each way to get it wrong, and what the sentence says of it.
REASONS = [
    ("PORT", "0", "greater than or equal to 1"),
    ("PORT", "65536", "less than or equal to 65535"),
    ("HOST", "127.0.0.1:8000", "not a host"),
    ("HOST", "http://localhost", "not a host"),
    ("VISIBILITY_TIMEOUT", "0", "greater than or equal to 1"),
    ("VISIBILITY_TIMEOUT", "9999999999", "less than or equal"),
    ("SOFT_SHUTDOWN_TIMEOUT", "nan", "finite"),
    ("SOFT_SHUTDOWN_TIMEOUT", "inf", "finite"),
    ("RESULT_EXPIRES", "99999999999", "less than or equal"),
    ("EVENTS_KEPT", "99999999999999999999", "less than or equal"),
    ("HISTORY_KEPT", "99999999999999999999", "less than or equal"),
    ("MAX_DEPTH", "deep", "valid integer"),
    ("QUERY_TIMEOUT_S", "inf", "finite"),
    ("SEND_TIMEOUT_S", "nan", "finite"),
    ("PROXY_HEADERS", "maybe", "valid boolean"),
    ("FORWARDED_ALLOW_IPS", "proxy", "not addresses and networks"),
    ("FORWARDED_ALLOW_IPS", "10.0.0.0/99", "not addresses and networks"),
    ("FORWARDED_ALLOW_IPS", "10.0.0.1,*", "not addresses and networks"),
    ("LOG_FORMAT", "xml", "'auto', 'json' or 'plain'"),
    ("ALLOWED_HOSTS", "{}", "not a JSON list"),
    ("ALLOWED_HOSTS", "[" * 100_000, "not a JSON list"),
    ("ALLOWED_HOSTS", '["https://example.org"]', "not a host"),
    ("CORS_ORIGINS", "https://example.org", "not a JSON list"),
    ("GRAPHIQL_DIR", f"{__file__}/page", "not a folder"),
    ("AUTH_JWKS_URL", "keys.json", "valid URL"),
    ("CELERY_RESULT_BACKEND", "rpc://", "overrides the configuration"),
    ("CELERY_BROKER_READ_URL", "redis://host", "overrides the configuration"),
    ("CELERY_BROKER_WRITE_URL", "redis://host", "overrides the configuration"),
    ("CELERY_LOADER", "default", "overrides the configuration"),
    ("REMAP_SIGTERM", "SIGNOTHING", "not the name of a signal"),
    ("METRICS_TOKEN", "a b", "not a token"),
    ("METRICS_TOKEN", "schlüssel", "not a token"),
]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_setting_is_named_in_one_sentence(program, name):
    if program == "worker" and name in OF_THE_API:
        return

    ended = run_to_end(PROGRAMS[program], PROJECT_ROOT, **{name: BAD[name]})

    told = ended.stderr.strip().splitlines()
    assert len(told) == 1, ended.stderr
    assert name in told[0].upper()
    assert "hunter2" not in ended.stdout + ended.stderr
    assert ended.returncode == os.EX_CONFIG


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv", [["graphql_api.local.redis_prompt", "PING"], ["celeryql.worker.health", "celery@here"]]
)
def test_other_commands_name_it_alike(argv):
    ended = run_to_end(["-m", *argv], PROJECT_ROOT, REDIS_URL="127.0.0.1:6379")

    assert ended.stderr.startswith("setting REDIS_URL: it has no scheme:")
    assert ended.returncode == os.EX_CONFIG


@pytest.mark.slow
@pytest.mark.parametrize(
    "given", [{"BROKER_URL": "redis://:hunter2@host"}, {}], ids=["variable", "option"]
)
def test_a_worker_takes_no_broker_but_that_of_the_settings(given):
    options = [] if given else ["--broker", "redis://:hunter2@host"]

    ended = run_to_end(["-m", "celery", *options, "-A", "tasks", "worker"], PROJECT_ROOT, **given)

    assert ended.stderr.startswith("CELERY_BROKER_URL is set, by the environment or an option")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.returncode == os.EX_CONFIG


@pytest.mark.parametrize(("name", "value", "reason"), REASONS)
def test_the_sentence_says_what_is_wrong(monkeypatch, name, value, reason):
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings) as refusal:
        Settings.read()

    assert name in str(refusal.value)
    assert reason in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["server", "up"])
def test_an_address_that_is_not_of_this_machine_ends_the_start(program):
    given = {"HOST": "192.0.2.1", "REDIS_URL": ""}

    ended = run_to_end([*PROGRAMS[program], "--insecure"], PROJECT_ROOT, **given)

    assert "192.0.2.1:8000 cannot be bound, see HOST and PORT: " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.returncode == os.EX_CONFIG


@pytest.mark.slow
@pytest.mark.parametrize("port", ["0", "99999", "http"])
def test_a_port_that_is_none_is_refused_on_the_command_line(port):
    ended = run_to_end([*PROGRAMS["server"], "--port", port], PROJECT_ROOT)

    assert "argument --port: a port is a number from 1 to 65535" in ended.stderr
    assert ended.returncode == 2


@pytest.mark.slow
def test_a_variable_of_uvicorns_is_no_setting(tmp_path):
    given = {"WEB_CONCURRENCY": "abc", "REDIS_URL": "redis://127.0.0.1:1/0"}

    with running_api(given, tmp_path / "api.log") as api:
        assert urlopen(f"{api}/healthz").status == 200


@pytest.mark.parametrize("proxies", ["*", "10.0.0.1", "10.0.0.1, fd00::/8"])
def test_proxies_are_addresses_and_networks(monkeypatch, proxies):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)

    assert Settings.read().forwarded_allow_ips == proxies


def test_lists_are_read_as_json(monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", '["a.example", "b.example"]')

    assert Settings.read().allowed_hosts == ("a.example", "b.example")
