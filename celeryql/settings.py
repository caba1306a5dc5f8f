"""The one settings model: every knob of the API, the workers and the tasks, with its unit.

Values come from the environment, then from the file that a running `./dev up` leaves in
`.data/running.env` (so that a Celery command typed beside it reaches the same private Redis), then
from the defaults below.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from celeryql.bounds import Bounds
from celeryql.errors import BadSettings
from celeryql.redis_url import RedisUrl
from celeryql.setting_values import LARGEST, Count, Folder, Host, Listed, Port, Proxies, Token
from tasks.mail_settings import MailSettings

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = PROJECT_ROOT / ".data"
RUNNING_ENV = DATA_DIR / "running.env"

# Celery follows these before an app's configuration (5.7); its command sets them from options such
# as `--broker` and from variables such as BROKER_URL.
_PAST_SETTINGS = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_LOADER",
)

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]


class LogFormat(StrEnum):
    """How a line of a log looks."""

    AUTO = "auto"
    JSON = "json"
    PLAIN = "plain"


class LogLevel(StrEnum):
    """From which level on there are lines."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(Bounds, MailSettings, BaseSettings):
    """Everything that differs between one installation and the next."""

    model_config = SettingsConfigDict(
        env_file=RUNNING_ENV, extra="ignore", frozen=True, env_ignore_empty=True
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

    model_dir: Folder = Field(
        default=DATA_DIR / "models", description="Folder with one trained model per channel."
    )
    model_sha256: Listed[Sha256] = Field(
        default=(),
        description="SHA-256, as a JSON list, of the `manifest.json` of each model to trust, "
        "instead of those that training wrote beside the models' folders.",
    )

    graphiql_dir: Folder = Field(
        default=DATA_DIR / "graphiql",
        description="Folder with the files of the page at `/graphql`.",
    )


def read_settings() -> Settings:
    """Read the settings as they are now.

    Raises:
        BadSettings: one is malformed or out of range; the message does not show its value, which
            may be secret.
    """
    _check_variables_of_celery()
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = f"{problem['loc'][0]}: ".upper() if problem["loc"] else ""
        raise BadSettings(f"setting {name}{problem['msg']}") from None


def _check_variables_of_celery() -> None:
    for name in _PAST_SETTINGS:
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


@cache
def load_settings() -> Settings:
    """Read the settings once for this process.

    Raises:
        BadSettings: one is malformed or out of range.
    """
    return read_settings()
