"""`./dev up`: its programs, the order of their start, and its messages."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from graphql_api.auth.trusted_hosts import StartRefused
from graphql_api.local.processes import PrefixedOutput, Program
from graphql_api.local.redis_server import private_redis
from graphql_api.local.settings import LocalSettings
from graphql_api.local.up import (
    LocalStack,
    main,
    prepare,
    removed_before_and_after,
    write_running_env,
)


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "REDIS_URL", "SMTP_HOST", "SMTP_PORT", "MODEL_DIR"):
        monkeypatch.delenv(name, raising=False)


def stack(folder: Path, **settings: str) -> LocalStack:
    return prepare(LocalSettings(_env_file=None, **settings), "127.0.0.1", 8000, folder)


def test_without_settings_there_is_a_private_redis_and_a_mail_catcher(tmp_path: Path) -> None:
    planned = stack(tmp_path)

    assert planned.redis
    assert planned.environment["REDIS_URL"] == planned.redis.url
    assert planned.catches_mail
    assert planned.environment["SMTP_HOST"] == "127.0.0.1"
    assert int(planned.environment["SMTP_PORT"]) > 1023


def test_a_redis_of_the_user_replaces_the_private_one(tmp_path: Path) -> None:
    with private_redis(tmp_path / "theirs") as url:
        planned = stack(tmp_path, redis_url=url)

    assert planned.redis is None
    assert planned.environment["REDIS_URL"] == url


def test_a_dead_redis_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="REDIS_URL is set"):
        stack(tmp_path, redis_url="redis://127.0.0.1:1/0")


def test_a_mail_server_of_the_user_replaces_the_mail_catcher(tmp_path: Path) -> None:
    planned = stack(tmp_path, smtp_host="mail.example", smtp_port="25")

    assert not planned.catches_mail
    assert (planned.environment["SMTP_HOST"], planned.environment["SMTP_PORT"]) == (
        "mail.example",
        "25",
    )


def test_the_programs_get_the_full_path_of_the_model_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert stack(tmp_path, model_dir="models").model_dir == tmp_path / "models" / "sms"


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_developer_settings_are_on_only_if_nobody_else_can_reach_the_api(
    tmp_path: Path, host: str, shown: bool
) -> None:
    planned = prepare(LocalSettings(_env_file=None), host, 8000, tmp_path)

    for name in ("INTROSPECTION", "SUGGESTIONS", "TRACEBACKS"):
        assert (name in planned.environment) is shown


class Recorder:
    """A supervisor that records programs, which are ready at once."""

    def __init__(self, *, training_code: int = 0, check_code: int = 0) -> None:
        self.started: list[str] = []
        self._codes = {"training": training_code, "check": check_code, "graphiql": 0}

    async def start(self, program: Program) -> None:
        await asyncio.sleep(0)
        self.started.append(program.name)

    async def complete(self, program: Program) -> int:
        await self.start(program)
        return self._codes[program.name]


async def test_programs_start_after_what_they_need(tmp_path: Path) -> None:
    supervisor, output = Recorder(), io.StringIO()
    planned = stack(tmp_path, model_dir=str(tmp_path / "models"))

    await planned.bring_up(supervisor, PrefixedOutput(output))

    started = supervisor.started
    started.remove("graphiql")  # it needs none of the others
    assert started[0] == "redis"
    assert sorted(started[1:]) == [
        *("api", "celery", "email_service", "mail", "ml_service", "training")
    ]
    assert started.index("mail") < started.index("email_service")
    assert started.index("training") < started.index("ml_service")
    assert "GraphiQL   http://127.0.0.1:8000/graphql" in output.getvalue()
    assert f"Mail       {tmp_path}/mail (a Maildir)" in output.getvalue()


async def test_a_trained_model_is_kept(tmp_path: Path) -> None:
    (tmp_path / "sms").mkdir()
    (tmp_path / "sms" / "manifest.json").touch()
    supervisor = Recorder()

    await stack(tmp_path, model_dir=str(tmp_path)).bring_up(
        supervisor, PrefixedOutput(io.StringIO())
    )

    assert "training" not in supervisor.started


async def test_a_model_of_another_release_is_kept_aside_and_replaced(
    tmp_path: Path,
) -> None:
    (tmp_path / "sms").mkdir()
    (tmp_path / "sms" / "manifest.json").touch()
    supervisor, output = Recorder(check_code=os.EX_DATAERR), io.StringIO()

    await stack(tmp_path, model_dir=str(tmp_path)).bring_up(supervisor, PrefixedOutput(output))

    assert supervisor.started.index("training") < supervisor.started.index("ml_service")
    assert not (tmp_path / "sms").exists()
    aside = re.search(r"The old model was moved to (\S+)\. Training a new one", output.getvalue())
    assert aside
    assert (Path(aside[1]) / "manifest.json").exists()


async def test_a_model_that_the_user_pinned_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "sms").mkdir()
    (tmp_path / "sms" / "manifest.json").touch()
    supervisor = Recorder(check_code=os.EX_DATAERR)
    settings = {"model_dir": str(tmp_path), "model_sha256": json.dumps(["0" * 64])}

    await stack(tmp_path, **settings).bring_up(supervisor, PrefixedOutput(io.StringIO()))

    assert "training" not in supervisor.started
    assert (tmp_path / "sms" / "manifest.json").exists()


async def test_without_a_model_the_rest_runs_and_says_how_to_train_one(tmp_path: Path) -> None:
    supervisor, output = Recorder(training_code=1), io.StringIO()

    await stack(tmp_path, model_dir=str(tmp_path)).bring_up(supervisor, PrefixedOutput(output))

    assert "ml_service" in supervisor.started
    assert f"-m ml.train_spam_detector --out {tmp_path}/sms --data FILE`" in output.getvalue()
    assert "CeleryQL is ready" in output.getvalue()


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        ({}, {"host": "0.0.0.0"}, r"dev: 0\.0\.0\.0 is not a loopback address: .*\.\n"),
        ({"SMTP_PORT": "none"}, {}, r"dev: setting SMTP_PORT: Input should be a valid integer.*\n"),
        (
            {"REDIS_URL": "redis://:geheim@127.0.0.1:1/0"},
            {},
            r"dev: REDIS_URL is set, but no Redis answers there \((?!.*geheim).*\.\n",
        ),
        (
            {"REDIS_URL": "redis://127.0.0.1:1/0", "AUTH_JWT_SECRET": "x" * 32},
            {"host": "0.0.0.0"},
            r"dev: REDIS_URL is set, .*\.\n",  # the address was accepted
        ),
        (
            {"REDIS_URL": "redis://127.0.0.1:1/0"},
            {"host": "0.0.0.0", "insecure": True},
            r"dev: REDIS_URL is set, .*\.\n",
        ),
        (
            {"AUTH_JWT_SECRET": "x" * 31},
            {"insecure": True},
            r"dev: AUTH_JWT_SECRET is shorter than 32 bytes\.\n",
        ),
        ({"AUTH_JWKS_URL": "file:///x"}, {}, r"dev: setting AUTH_JWKS_URL: URL scheme .*\.\n"),
    ],
)
def test_a_refused_start_is_explained_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    options: dict[str, Any],
    message: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = {"host": None, "port": None, "insecure": False, **options}

    code = main(**options, strict_port=False, restart=False, data_dir=tmp_path)

    is_setting = "setting" in message or "AUTH_JWT_SECRET is" in message
    assert code == (os.EX_CONFIG if is_setting else 1)
    assert re.fullmatch(message, capsys.readouterr().err)


def test_other_commands_can_read_the_settings(tmp_path: Path) -> None:
    awkward = tmp_path / """it's "a\\b" #folder"""
    values = {"REDIS_URL": "redis://:p%23w%27d@127.0.0.1:7/0", "MODEL_DIR": str(awkward)}

    write_running_env(tmp_path / "running.env", values)

    settings = LocalSettings(_env_file=tmp_path / "running.env")
    assert settings.redis_url == "redis://:p%23w%27d@127.0.0.1:7/0"
    assert settings.model_dir == awkward


def test_only_the_owner_can_read_the_settings(tmp_path: Path) -> None:
    (tmp_path / "running.env").write_text("left by a killed run")

    write_running_env(tmp_path / "running.env", {"REDIS_URL": "redis://:secret@host"})

    assert stat.S_IMODE((tmp_path / "running.env").stat().st_mode) == 0o600


def test_the_settings_of_a_killed_run_and_of_this_one_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "running.env"
    path.write_text("old")

    with removed_before_and_after(path):
        assert not path.exists()
        path.write_text("new")

    assert not path.exists()
