"""The settings of the API and the workers, each with its unit and its limits.

A value comes from the environment, else from the file that a running `./dev up` leaves in
`.data/running.env` (so that a `celery` command beside it reaches the same private Redis), else from
the defaults below.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from celeryql.errors import BadSettings
from celeryql.redis_url import RedisUrl
from celeryql.setting_values import (
    LARGEST,
    Count,
    Folder,
    Host,
    Listed,
    Port,
    Proxies,
    Seconds,
    Token,
)

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = PROJECT_ROOT / ".data"
RUNNING_ENV = DATA_DIR / "running.env"

# Celery 5.7 prefers these to the configuration of the app. Its command sets them from options such
# as `--broker` and from variables such as BROKER_URL.
_VARIABLES_THAT_OVERRIDE = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_LOADER",
)

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]


class LogFormat(StrEnum):
    """The format of log lines."""

    AUTO = "auto"
    JSON = "json"
    PLAIN = "plain"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EnvironmentSettings(BaseSettings):
    """Settings that are read from the environment, then from the file of a running `./dev up`."""

    model_config = SettingsConfigDict(
        env_file=RUNNING_ENV, extra="ignore", frozen=True, env_ignore_empty=True
    )

    @classmethod
    def read(cls) -> Self:
        """Read the settings as they are now.

        Raises:
            BadSettings: a setting is malformed or out of range. The message does not contain the
                value, which may be secret.
        """
        try:
            return cls()
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            name = f"{problem['loc'][0]}: ".upper() if problem["loc"] else ""
            raise BadSettings(f"setting {name}{problem['msg']}") from None


class Settings(EnvironmentSettings):
    """Everything that differs between one installation and the next."""

    celery_app: str = Field(
        default="tasks.celery_app:app",
        description="Celery app that the API serves, named as for `celery -A`.",
    )

    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="Broker, result backend and store; `rediss://` for TLS.",
    )
    redis_server: Path | None = Field(
        default=None,
        description="Program of the private Redis of `./dev up`, instead of the packaged Valkey.",
    )
    visibility_timeout: int = Field(
        default=60,
        ge=1,
        le=LARGEST // 1_000,
        description="Seconds after which the work of a dead worker is given to another.",
    )
    soft_shutdown_timeout: float = Field(
        default=25.0,
        ge=0,
        le=LARGEST,
        allow_inf_nan=False,
        description="Seconds that a worker stopped by SIGQUIT gives to what it runs.",
    )
    result_expires: Count = Field(
        default=7 * 24 * 3600,
        ge=1,
        description="Seconds that a finished task is kept.",
    )
    events_kept: Count = Field(
        default=100_000, ge=100, description="Entries kept in the stream of all events."
    )
    history_kept: Count = Field(
        default=10_000,
        ge=10,
        description="Events kept of one task, or of one workflow's steps.",
    )
    max_workflow_steps: int = Field(
        default=1_000, ge=1, le=5_000, description="Steps of one workflow."
    )
    max_workflow_depth: int = Field(
        default=8, ge=1, le=20, description="Chains, groups and chords within each other."
    )

    host: Host = Field(default="127.0.0.1", description="Address the API binds.")
    port: Port = Field(default=8000, description="Port the API binds.")
    proxy_headers: bool = Field(
        default=False,
        description="Whether a proxy on this machine says who its clients are, in X-Forwarded-For.",
    )
    forwarded_allow_ips: Proxies = Field(
        default="127.0.0.1,::1",
        description="Addresses and networks of such proxies, with commas between them, or `*`; for "
        "`PROXY_HEADERS`.",
    )
    allowed_hosts: Listed[Host] = Field(
        default=(),
        description="Names, as a JSON list, by which the API is reached without authentication, "
        "beside addresses, `localhost` and names without a dot.",
    )
    cors_origins: Listed[Origin] = Field(
        default=(),
        description="Origins, as a JSON list, whose pages may use the API from a browser.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="`json`, one object a line; `plain`, for people; or `auto`: plain on a "
        "terminal, else JSON.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(str.lower)] = Field(
        default=LogLevel.INFO,
        description="From which level on there are lines: `debug`, `info`, `warning` or `error`; "
        "a worker's `--loglevel` counts where this is not set.",
    )
    metrics_token: Token | None = Field(
        default=None,
        description="Bearer token that `/metrics` asks for; without one, `/metrics` answers only "
        "this machine, and only if neither authentication nor `PROXY_HEADERS` is on.",
    )
    introspection: bool = Field(default=False, description="Whether the schema can be asked for.")
    suggestions: bool = Field(
        default=False, description="Whether errors tell of names like the one that is unknown."
    )
    tracebacks: bool = Field(default=False, description="Whether a failure shows its traceback.")

    auth_jwt_secret: SecretStr | None = Field(
        default=None, description="Secret that tokens are signed with (HS256): 32 bytes or more."
    )
    auth_jwks_file: Path | None = Field(
        default=None, description="File with the public keys of who signs tokens (JWKS)."
    )
    auth_jwks_url: HttpUrl | None = Field(
        default=None, description="Address of such keys instead; they may change."
    )
    auth_audience: str | None = Field(
        default=None, description="What tokens must name as `aud`, if set."
    )
    auth_issuer: str | None = Field(
        default=None, description="What tokens must name as `iss`, if set."
    )

    graphiql_dir: Folder = Field(
        default=DATA_DIR / "graphiql",
        description="Folder with the files of the page at `/graphql`.",
    )

    # Limits on what one client may ask for, so that it leaves room for the others. What a fragment
    # holds counts wherever the fragment is spread.
    max_body_bytes: int = Field(
        default=1_000_000, ge=1_000, description="Size of one request, or of one WebSocket message."
    )
    max_tokens: int = Field(
        default=5_000, ge=100, description="Tokens, and lines, of one document."
    )
    max_operations: int = Field(default=20, ge=1, description="Operations in one document.")
    max_root_fields: int = Field(
        default=20, ge=1, description="Fields that one operation begins with."
    )
    max_depth: int = Field(default=20, ge=5, description="Fields within each other.")
    # Validation compares fields of one name with each other, a thousand of them for 0.3 s.
    max_fields: int = Field(default=1_000, ge=10, description="Fields of one operation.")
    max_aliases: int = Field(default=200, ge=0, description="Aliases of one operation.")
    max_directives: int = Field(default=200, ge=0, description="Directives of one operation.")
    # What is handed over is made into inputs, which takes 20 to 50 us a value.
    max_values: int = Field(
        default=25_000,
        ge=1_000,
        description="Values in the variables of one operation, each as often as its variable is "
        "named; 1,000 characters weigh as much as one.",
    )
    max_answer_items: int = Field(
        default=25_000,
        ge=1_000,
        description="List items and tasks in one answer, or in one event; five fields or 1,000 "
        "characters weigh as much as one.",
    )
    query_timeout_s: Seconds = Field(default=10.0, description="Seconds that a query may take.")

    max_sockets: int = Field(
        default=10_000, ge=1, description="WebSockets and streams open in one process."
    )
    max_sockets_per_address: int = Field(
        default=2_000, ge=1, description="The same, of one client address."
    )
    max_operations_per_socket: int = Field(
        default=50, ge=1, description="Operations at a time on one WebSocket."
    )
    connection_init_timeout_s: Seconds = Field(
        default=5.0, description="Seconds that a new WebSocket has to say who it is."
    )
    send_timeout_s: Seconds = Field(
        default=1.0,
        description="Seconds that a client may leave what is sent to it unread, once all buffers "
        "on the way to it are full.",
    )

    enqueue_rate: float = Field(
        default=1_000.0,
        ge=0.001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Tasks that one owner may enqueue in a second, in the long run.",
    )
    enqueue_burst: int = Field(
        default=100_000,
        ge=1,
        description="Tasks that one owner may enqueue at once, after a pause.",
    )
    max_waiting: int = Field(
        default=1_000_000,
        ge=1,
        description="About how many tasks may wait in one queue at one priority, or for their "
        "start time.",
    )

    @classmethod
    def read(cls) -> Self:
        """Read the settings as they are now.

        Raises:
            BadSettings: as above, or a variable of Celery's overrides a setting.
        """
        _check_variables_of_celery()
        return super().read()


@cache
def load_settings() -> Settings:
    """Read the settings once in this process.

    Raises:
        BadSettings: a setting is malformed or out of range.
    """
    return Settings.read()


def _check_variables_of_celery() -> None:
    for name in _VARIABLES_THAT_OVERRIDE:
        if os.environ.get(name):
            raise BadSettings(
                f"{name} is set, by the environment or an option of `celery`, and overrides the "
                "configuration of CeleryQL: unset it; REDIS_URL alone says where Redis is"
            )
    remapped = os.environ.get("REMAP_SIGTERM")
    if remapped and remapped not in signal.Signals.__members__:
        raise BadSettings(
            "setting REMAP_SIGTERM: not the name of a signal: write SIGQUIT, or unset it"
        )
