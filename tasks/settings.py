"""The settings of the tasks: how mail is sent, and where the spam models are."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from celeryql.setting_values import Folder, Host, Listed, Port, Seconds, Sender
from celeryql.settings import DATA_DIR, EnvironmentSettings

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    SSL = "ssl"


class OnUnknown(StrEnum):
    """What to do if a crash leaves open whether a mail was sent."""

    RESEND = "resend"
    FAIL = "fail"


class TaskSettings(EnvironmentSettings):
    """The mail server and the spam models."""

    smtp_host: Host = Field(default="127.0.0.1", description="Mail server.")
    smtp_port: Port = Field(default=1025, description="Port of the mail server.")
    smtp_security: SmtpSecurity = Field(
        default=SmtpSecurity.NONE, description="Transport security: `none`, `starttls` or `ssl`."
    )
    smtp_username: str | None = Field(
        default=None, description="User name for the mail server, if it requires a login."
    )
    smtp_password: SecretStr | None = Field(
        default=None, description="Password for the mail server."
    )
    smtp_timeout_s: Seconds = Field(
        default=10.0, description="Timeout of each SMTP command, in seconds."
    )
    email_on_unknown: OnUnknown = Field(
        default=OnUnknown.RESEND,
        description="What to do if a crash leaves it unknown whether a mail was sent: `resend` "
        "with the same Message-ID, or `fail`.",
    )
    email_from: Sender = Field(
        default="CeleryQL <celeryql@localhost>", description="From header and envelope sender."
    )

    model_dir: Folder = Field(
        default=DATA_DIR / "models", description="Folder with one trained model per channel."
    )
    model_sha256: Listed[Sha256] = Field(
        default=(),
        description="JSON list of SHA-256 hashes of the `manifest.json` files to trust, instead "
        "of the hashes that training wrote beside the model folders.",
    )

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.smtp_username is None) is not (self.smtp_password is None):
            raise PydanticCustomError(
                "login", "SMTP_USERNAME and SMTP_PASSWORD: set both, or neither"
            )
        return self


@cache
def load_settings() -> TaskSettings:
    """Read the settings once in this process.

    Raises:
        BadSettings: a setting is malformed or out of range.
    """
    return TaskSettings.read()
