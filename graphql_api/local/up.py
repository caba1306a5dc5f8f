"""`./dev up`: which programs are started, in which order, and what is printed about them.

`preflight.py` checks the conditions of a start, `programs.py` describes the programs, and
`supervisor.py` keeps them running and stops them on SIGINT and SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from celeryql.errors import BadSettings, CeleryQLError
from celeryql.settings import (
    DATA_DIR,
    PROJECT_ROOT,
    RUNNING_ENV,
    LogFormat,
)
from graphql_api.auth.authenticator import Authenticator
from graphql_api.auth.trusted_hosts import StartRefused, is_loopback, refuse_public
from graphql_api.local import programs
from graphql_api.local.preflight import (
    only_one,
    refuse_dead_redis,
)
from graphql_api.local.processes import PrefixedOutput
from graphql_api.local.redis_server import EmbeddedRedis, check_data, reserve_port, write_config
from graphql_api.local.settings import LocalSettings
from graphql_api.local.supervisor import Supervisor
from graphql_api.ports import choose_port

# Settings that help developers; they are on if only this machine can reach the API.
DEVELOPER_SETTINGS = ("introspection", "suggestions", "tracebacks")


@dataclass(frozen=True)
class LocalStack:
    """The programs of one `./dev up` and their settings.

    Attributes:
        host: address of the API, with `port`.
        data_dir: folder for mail and the append-only file.
        environment: settings that tell the programs where the others are.
        redis: the private Redis; None if the user runs one.
        catches_mail: whether a mail catcher runs; False if the user sets a mail server.
        has_pinned_models: whether the user sets which spam models to trust.
    """

    host: str
    port: int
    data_dir: Path
    environment: Mapping[str, str]
    redis: EmbeddedRedis | None
    catches_mail: bool
    has_pinned_models: bool = False

    @property
    def maildir(self) -> Path:
        """The folder that the mail catcher fills."""
        return self.data_dir / "mail"

    @property
    def model_dir(self) -> Path:
        """The folder of the spam model."""
        return Path(self.environment["MODEL_DIR"]) / "sms"

    async def bring_up(self, supervisor: Supervisor, output: PrefixedOutput) -> None:
        """Start each program after those that it needs, and print a message when all are ready."""
        # Nothing waits for the GraphiQL page: the registry of its packages may be unreachable.
        page = supervisor.complete(programs.graphiql(self.environment["GRAPHIQL_DIR"]))
        await asyncio.gather(self._start(supervisor, output), page)

    async def _start(self, supervisor: Supervisor, output: PrefixedOutput) -> None:
        began = time.monotonic()
        if self.redis:
            await supervisor.start(programs.redis_server(self.redis))
        write_running_env(self.data_dir / RUNNING_ENV.name, self.environment)
        await asyncio.gather(
            supervisor.start(programs.api(self.host, self.port, self.environment)),
            supervisor.start(programs.worker("celery", self.environment)),
            self._start_mail(supervisor),
            self._start_spam_detection(supervisor, output),
        )
        output.say(self._welcome(time.monotonic() - began))

    async def _start_mail(self, supervisor: Supervisor) -> None:
        if self.catches_mail:
            port = int(self.environment["SMTP_PORT"])
            await supervisor.start(programs.mail_catcher(port, self.maildir))
        await supervisor.start(programs.worker("email_service", self.environment))

    async def _start_spam_detection(self, supervisor: Supervisor, output: PrefixedOutput) -> None:
        if await self._needs_training(supervisor, output):
            training = programs.training(self.model_dir)
            if await supervisor.complete(training):
                output.say(
                    "The spam model was not trained, so detectSpam fails until it is: "
                    "without network access, train it on your own corpus with "
                    f"`{' '.join(map(_relative, training.argv))} --data FILE`."
                )
        await supervisor.start(programs.worker("ml_service", self.environment))

    async def _needs_training(self, supervisor: Supervisor, output: PrefixedOutput) -> bool:
        """Check the spam model; a model of another release is renamed and must be trained again."""
        if not (self.model_dir / "manifest.json").exists():
            output.say("There is no spam model yet: training one, which takes a while.")
            return True
        if self.has_pinned_models:  # a new model would not be trusted
            return False
        if await supervisor.complete(programs.model_check(self.model_dir)) != os.EX_DATAERR:
            return False
        aside = self.model_dir.with_name(f"{self.model_dir.name}.{time.strftime('%Y%m%dT%H%M%S')}")
        self.model_dir.rename(aside)
        output.say(
            f"The old model was moved to {_relative(aside)}. Training a new one takes a while. "
            "If the old model used your own messages, train the new one on them too."
        )
        return True

    def _welcome(self, took_s: float) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        mail = (
            f"{_relative(self.maildir)} (a Maildir)" if self.catches_mail else "sent to SMTP_HOST"
        )
        return f"""
CeleryQL is ready ({took_s:.1f} s).
  GraphiQL   http://{host}:{self.port}/graphql
  Mail       {mail}
  Redis      ./dev redis
  Stop       Ctrl-C, which lets running tasks end; twice stops at once
"""


def main(
    host: str | None,
    port: int | None,
    *,
    strict_port: bool,
    restart: bool,
    insecure: bool,
    data_dir: Path = DATA_DIR,
) -> int:
    """Run CeleryQL on this machine until a signal or a failure, and return the exit code.

    Args:
        host: None uses the setting.
        port: None uses the setting.
        strict_port: fail if the port is taken; else the next free one is used.
        restart: restart a program that dies.
        insecure: bind any address, even without authentication.
        data_dir: folder for all data.
    """
    running_env = data_dir / RUNNING_ENV.name
    try:
        with only_one(data_dir / "up.lock"), removed_before_and_after(running_env):
            # Read after the file of an earlier run is removed: it names a Redis that has stopped.
            settings = LocalSettings.read()
            host, port = host or settings.host, port or settings.port
            if not (Authenticator(settings).is_on or insecure):
                refuse_public(host)
            stack = prepare(settings, host, choose_port(host, port, strict=strict_port), data_dir)
            return asyncio.run(serve(stack, port, restart=restart))
    except (StartRefused, CeleryQLError) as refusal:
        sys.stderr.write(f"dev: {refusal}.\n")
        return os.EX_CONFIG if isinstance(refusal, BadSettings) else 1


async def serve(stack: LocalStack, wanted_port: int, *, restart: bool) -> int:
    """Run the programs until the end, and return the exit code."""
    output = PrefixedOutput(
        sys.stdout, colored=sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    )
    if stack.port != wanted_port:
        output.say(f"Port {wanted_port} is taken: using {stack.port}.")
    supervisor = Supervisor(output, restart=restart)
    return await supervisor.run(lambda: stack.bring_up(supervisor, output))


def prepare(settings: LocalSettings, host: str, port: int, data_dir: Path) -> LocalStack:
    """Decide which programs are started, and with which settings.

    Raises:
        StartRefused: the Redis of the settings does not answer.
        EmbeddedRedisError: there is no Redis server to start, or it cannot read the data.
    """
    given = settings.model_fields_set
    if "redis_url" in given:
        refuse_dead_redis(settings.redis_url)
    redis = None
    if "redis_url" not in given:
        redis = write_config(data_dir / "redis", chosen=settings.redis_server)
        check_data(redis)
    catches_mail = "smtp_host" not in given
    # People read the output, so plain text is the default.
    is_auto = settings.log_format is LogFormat.AUTO
    environment = {
        "LOG_FORMAT": LogFormat.PLAIN if is_auto else settings.log_format,
        "REDIS_URL": redis.url if redis else settings.redis_url,
        "SMTP_HOST": programs.LOOPBACK if catches_mail else settings.smtp_host,
        "SMTP_PORT": str(reserve_port() if catches_mail else settings.smtp_port),
        "MODEL_DIR": str(settings.model_dir.resolve()),
        "GRAPHIQL_DIR": str(settings.graphiql_dir.resolve()),
    }
    if is_loopback(host):
        environment |= {name.upper(): "true" for name in DEVELOPER_SETTINGS if name not in given}
    pinned = bool(settings.model_sha256)
    return LocalStack(host, port, data_dir, environment, redis, catches_mail, pinned)


def write_running_env(path: Path, values: Mapping[str, str]) -> None:
    """Write settings for commands in other shells; only the owner can read them (a password)."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        for key, value in values.items():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            file.write(f"{key}='{escaped}'\n")


@contextmanager
def removed_before_and_after(path: Path) -> Iterator[None]:
    """Remove a file at the start and at the end of a `with` block."""
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _relative(path: str | Path) -> str:
    """Shorten a path inside the project."""
    return str(path).removeprefix(f"{PROJECT_ROOT}/")
