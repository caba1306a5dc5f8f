"""Everything on one machine: what is started in which order, and what the user is told.

The programs are described in `programs.py`, kept running by `supervisor.py`; what must hold before
anything starts is in `preflight.py`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
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
    choose_port,
    only_one,
    refuse_dead_redis,
)
from graphql_api.local.processes import PrefixedOutput
from graphql_api.local.redis_server import EmbeddedRedis, check_data, reserve_port, write_config
from graphql_api.local.running_env import removed, write_running_env
from graphql_api.local.settings import LocalSettings
from graphql_api.local.supervisor import Supervisor

# What helps those who develop; switched on where nobody else can reach the API.
SHOWN_HERE = ("introspection", "suggestions", "tracebacks")


@dataclass(frozen=True)
class Machine:
    """What one start is made of.

    Attributes:
        host: where the API listens, with `port`.
        data_dir: where mail and append-only file are kept.
        environment: the settings by which the programs find each other.
        redis: None where the user runs one.
        catches_mail: False where the user names a mail server.
        has_pinned_models: whether the user says which spam models to trust.
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

    async def bring_up(self, supervisor: Supervisor, console: PrefixedOutput) -> None:
        """Start every program as soon as what it needs is there, and say when all are ready."""
        # Nobody waits for GraphiQL's page: the registry of its packages may be out of reach.
        page = supervisor.complete(programs.graphiql(self.environment["GRAPHIQL_DIR"]))
        await asyncio.gather(self._start(supervisor, console), page)

    async def _start(self, supervisor: Supervisor, console: PrefixedOutput) -> None:
        began = time.monotonic()
        if self.redis:
            await supervisor.start(programs.redis_server(self.redis))
        write_running_env(self.data_dir / RUNNING_ENV.name, self.environment)
        await asyncio.gather(
            supervisor.start(programs.api(self.host, self.port, self.environment)),
            supervisor.start(programs.worker("celery", self.environment)),
            self._start_mail(supervisor),
            self._start_spam_detection(supervisor, console),
        )
        console.say(self._welcome(time.monotonic() - began))

    async def _start_mail(self, supervisor: Supervisor) -> None:
        if self.catches_mail:
            port = int(self.environment["SMTP_PORT"])
            await supervisor.start(programs.mail_catcher(port, self.maildir))
        await supervisor.start(programs.worker("email_service", self.environment))

    async def _start_spam_detection(self, supervisor: Supervisor, console: PrefixedOutput) -> None:
        if await self._needs_training(supervisor, console):
            training = programs.training(self.model_dir)
            if await supervisor.complete(training):
                console.say(
                    "The spam model was not trained, so detectSpam fails until it is: "
                    "if there is no network, hand over a corpus with "
                    f"`{' '.join(map(_shown, training.argv))} --data FILE`."
                )
        await supervisor.start(programs.worker("ml_service", self.environment))

    async def _needs_training(self, supervisor: Supervisor, console: PrefixedOutput) -> bool:
        """Look at the spam model; one that another release trained is kept, out of the way."""
        if not (self.model_dir / "manifest.json").exists():
            console.say("There is no spam model yet: training one, which takes a while.")
            return True
        if self.has_pinned_models:  # then another model would not be trusted
            return False
        if await supervisor.complete(programs.model_check(self.model_dir)) != os.EX_DATAERR:
            return False
        aside = self.model_dir.with_name(f"{self.model_dir.name}.{time.strftime('%Y%m%dT%H%M%S')}")
        self.model_dir.rename(aside)
        console.say(
            f"That model is kept in {_shown(aside)}, and another one is trained, which takes a "
            "while; if you trained it on messages of your own, do so again."
        )
        return True

    def _welcome(self, took_s: float) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        mail = f"{_shown(self.maildir)} (a Maildir)" if self.catches_mail else "sent to SMTP_HOST"
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
    """Run CeleryQL on this machine until a signal or a death, and return the exit code.

    Args:
        host: None takes the setting.
        port: None takes the setting.
        strict_port: fail where the port is taken; else the next free one is used.
        restart: start again what dies.
        insecure: bind any address, with or without authentication.
        data_dir: where all is kept.
    """
    running_env = data_dir / RUNNING_ENV.name
    try:
        with only_one(data_dir / "up.lock"), removed(running_env):
            # The file of an earlier run is removed by now: it would name a Redis that has stopped.
            settings = LocalSettings.read()
            host, port = host or settings.host, port or settings.port
            if not (Authenticator(settings).is_on or insecure):
                refuse_public(host)
            machine = prepare(settings, host, choose_port(host, port, strict=strict_port), data_dir)
            return asyncio.run(serve(machine, port, restart=restart))
    except (StartRefused, CeleryQLError) as refusal:
        sys.stderr.write(f"dev: {refusal}.\n")
        return os.EX_CONFIG if isinstance(refusal, BadSettings) else 1


async def serve(machine: Machine, wanted_port: int, *, restart: bool) -> int:
    """Start the programs and keep them until the end; return the exit code."""
    console = PrefixedOutput(
        sys.stdout, coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    )
    if machine.port != wanted_port:
        console.say(f"Port {wanted_port} is taken: using {machine.port}.")
    supervisor = Supervisor(console, restart=restart)
    return await supervisor.run(lambda: machine.bring_up(supervisor, console))


def prepare(settings: LocalSettings, host: str, port: int, data_dir: Path) -> Machine:
    """Decide what a start is made of.

    Raises:
        StartRefused: something around does not allow the start.
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
    # Lines stand behind the names of their programs, and are for people.
    is_open = settings.log_format is LogFormat.AUTO
    environment = {
        "LOG_FORMAT": LogFormat.PLAIN if is_open else settings.log_format,
        "REDIS_URL": redis.url if redis else settings.redis_url,
        "SMTP_HOST": programs.LOOPBACK if catches_mail else settings.smtp_host,
        "SMTP_PORT": str(reserve_port() if catches_mail else settings.smtp_port),
        "MODEL_DIR": str(settings.model_dir.resolve()),
        "GRAPHIQL_DIR": str(settings.graphiql_dir.resolve()),
    }
    if is_loopback(host):
        environment |= {name.upper(): "true" for name in SHOWN_HERE if name not in given}
    pinned = bool(settings.model_sha256)
    return Machine(host, port, data_dir, environment, redis, catches_mail, pinned)


def _shown(path: str | Path) -> str:
    """Shorten a path inside the project."""
    return str(path).removeprefix(f"{PROJECT_ROOT}/")
