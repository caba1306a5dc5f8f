"""How mail is sent: a part of the settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from celeryql.setting_values import Host, Port, Seconds, Sender


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    SSL = "ssl"


class OnUnknown(StrEnum):
    """What to do where it is not known whether a mail was sent."""

    RESEND = "resend"
    FAIL = "fail"


class MailSettings(BaseModel):
    """The mail server, and what its tasks do."""

    smtp_host: Host = Field(default="127.0.0.1", description="Mail server.")
    smtp_port: Port = Field(default=1025, description="Port of the mail server.")
    smtp_security: SmtpSecurity = Field(
        default=SmtpSecurity.NONE, description="Transport security."
    )
    smtp_username: str | None = Field(
        default=None, description="Login, where the server wants one."
    )
    smtp_password: SecretStr | None = Field(default=None, description="Password of that login.")
    smtp_timeout_s: Seconds = Field(
        default=10.0, description="Seconds that one SMTP step may take."
    )
    email_on_unknown: OnUnknown = Field(
        default=OnUnknown.RESEND,
        description="Where a crash leaves open whether a mail was sent: `resend`, with the same "
        "Message-ID, or `fail`.",
    )
    email_from: Sender = Field(
        default="CeleryQL <celeryql@localhost>", description="From header and envelope sender."
    )

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.smtp_username is None) is not (self.smtp_password is None):
            raise PydanticCustomError(
                "login", "SMTP_USERNAME and SMTP_PASSWORD: set both, or neither"
            )
        return self
