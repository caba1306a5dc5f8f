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
        description="Celery app to serve, named as for `celery -A`.",
    )

    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="Broker, result backend and store; `rediss://` for TLS.",
    )
    redis_server: Path | None = Field(
        default=None,
        description="Redis or Valkey server program for `./dev up`, instead of the packaged "
        "Valkey.",
    )
    visibility_timeout: int = Field(
        default=60,
        ge=1,
        le=LARGEST // 1_000,
        description="Seconds after which the messages of a dead worker are redelivered.",
    )
    soft_shutdown_timeout: float = Field(
        default=25.0,
        ge=0,
        le=LARGEST,
        allow_inf_nan=False,
        description="Seconds that a worker stopped by SIGQUIT waits for its running tasks.",
    )
    result_expires: Count = Field(
        default=7 * 24 * 3600,
        ge=1,
        description="Seconds that a finished task is kept.",
    )
    events_kept: Count = Field(
        default=100_000, ge=100, description="Number of events kept in the stream of all tasks."
    )
    history_kept: Count = Field(
        default=10_000,
        ge=10,
        description="Number of events kept per task, and per workflow for all its steps.",
    )
    max_workflow_steps: int = Field(
        default=1_000, ge=1, le=5_000, description="Maximum number of steps in a workflow."
    )
    max_workflow_depth: int = Field(
        default=8, ge=1, le=20, description="Maximum nesting of chains, groups and chords."
    )

    host: Host = Field(default="127.0.0.1", description="Address that the API binds.")
    port: Port = Field(default=8000, description="Port that the API binds.")
    proxy_headers: bool = Field(
        default=False,
        description="Take client addresses from the X-Forwarded-For header of trusted proxies.",
    )
    forwarded_allow_ips: Proxies = Field(
        default="127.0.0.1,::1",
        description="Trusted proxies for `PROXY_HEADERS`: comma-separated addresses and "
        "networks, or `*`.",
    )
    allowed_hosts: Listed[Host] = Field(
        default=(),
        description="JSON list of host names accepted without authentication, in addition to IP "
        "addresses, `localhost` and names without a dot.",
    )
    cors_origins: Listed[Origin] = Field(
        default=(),
        description="JSON list of origins whose pages may call the API from a browser.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="`json`: one object per line; `plain`: for people; `auto`: `plain` on a "
        "terminal, else `json`.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(str.lower)] = Field(
        default=LogLevel.INFO,
        description="Lowest level that is logged: `debug`, `info`, `warning` or `error`. If not "
        "set, a worker's `--loglevel` applies.",
    )
    metrics_token: Token | None = Field(
        default=None,
        description="Bearer token required by `/metrics`. Without it, `/metrics` answers only "
        "requests from this machine, and only if authentication and `PROXY_HEADERS` "
        "are off.",
    )
    introspection: bool = Field(default=False, description="Allow introspection queries.")
    suggestions: bool = Field(
        default=False, description="Suggest similar names in errors about unknown names."
    )
    tracebacks: bool = Field(
        default=False, description="Include the traceback in the failure of a task."
    )

    auth_jwt_secret: SecretStr | None = Field(
        default=None, description="Secret that signs tokens with HS256, at least 32 bytes."
    )
    auth_jwks_file: Path | None = Field(
        default=None, description="File with the public keys that sign tokens (JWKS)."
    )
    auth_jwks_url: HttpUrl | None = Field(
        default=None,
        description="URL of the public keys that sign tokens (JWKS); fetched again when keys "
        "change.",
    )
    auth_audience: str | None = Field(
        default=None, description="If set, the `aud` claim that tokens must have."
    )
    auth_issuer: str | None = Field(
        default=None, description="If set, the `iss` claim that tokens must have."
    )

    graphiql_dir: Folder = Field(
        default=DATA_DIR / "graphiql",
        description="Folder with the built GraphiQL page.",
    )

    # Limits on what one client may ask for, so that it leaves room for the others. What a fragment
    # holds counts wherever the fragment is spread.
    max_body_bytes: int = Field(
        default=1_000_000,
        ge=1_000,
        description="Maximum size of a request or WebSocket message, in bytes.",
    )
    max_tokens: int = Field(
        default=5_000, ge=100, description="Maximum number of tokens, and of lines, in a document."
    )
    max_operations: int = Field(
        default=20, ge=1, description="Maximum number of operations in a document."
    )
    max_root_fields: int = Field(
        default=20, ge=1, description="Maximum number of root fields in an operation."
    )
    max_depth: int = Field(default=20, ge=5, description="Maximum depth of fields.")
    # Validation compares fields of one name with each other, a thousand of them for 0.3 s.
    max_fields: int = Field(
        default=1_000, ge=10, description="Maximum number of fields in an operation."
    )
    max_aliases: int = Field(
        default=200, ge=0, description="Maximum number of aliases in an operation."
    )
    max_directives: int = Field(
        default=200, ge=0, description="Maximum number of directives in an operation."
    )
    # Converting variables to inputs takes 20 to 50 us per value.
    max_values: int = Field(
        default=25_000,
        ge=1_000,
        description="Maximum number of values in an operation's variables, counted once per use "
        "of the variable; 1,000 characters count as one value.",
    )
    max_answer_items: int = Field(
        default=25_000,
        ge=1_000,
        description="Maximum number of list items and tasks in a response or event; five fields, "
        "or 1,000 characters, count as one item.",
    )
    query_timeout_s: Seconds = Field(
        default=10.0, description="Maximum duration of a query, in seconds."
    )

    max_sockets: int = Field(
        default=10_000,
        ge=1,
        description="Maximum number of open WebSockets and SSE streams per process.",
    )
    max_sockets_per_address: int = Field(
        default=2_000,
        ge=1,
        description="Maximum number of open WebSockets and SSE streams per client address.",
    )
    max_operations_per_socket: int = Field(
        default=50, ge=1, description="Maximum number of concurrent operations per WebSocket."
    )
    connection_init_timeout_s: Seconds = Field(
        default=5.0, description="Seconds within which a new WebSocket must send `connection_init`."
    )
    send_timeout_s: Seconds = Field(
        default=1.0,
        description="Seconds after which a client that does not read is disconnected, once all "
        "send buffers are full.",
    )

    enqueue_rate: float = Field(
        default=1_000.0,
        ge=0.001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Sustained number of tasks that one owner may enqueue per second.",
    )
    enqueue_burst: int = Field(
        default=100_000,
        ge=1,
        description="Number of tasks that one owner may enqueue at once after a pause.",
    )
    max_waiting: int = Field(
        default=1_000_000,
        ge=1,
        description="Approximate maximum number of tasks that wait in one queue at one priority, "
        "or for their start time.",
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
