"""How mail is sent: a part of the settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field, SecretStr

Port = Annotated[int, Field(ge=1, le=65_535)]


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

    smtp_host: str = Field(default="127.0.0.1", description="Mail server.")
    smtp_port: Port = Field(default=1025, description="Port of the mail server.")
    smtp_security: SmtpSecurity = Field(
        default=SmtpSecurity.NONE, description="Transport security."
    )
    smtp_username: str | None = Field(
        default=None, description="Login, where the server wants one."
    )
    smtp_password: SecretStr | None = Field(default=None, description="Password of that login.")
    smtp_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds that one SMTP step may take."
    )
    email_on_unknown: OnUnknown = Field(
        default=OnUnknown.RESEND,
        description="Where a crash leaves open whether a mail was sent: `resend`, with the same "
        "Message-ID, or `fail`.",
    )
    email_from: str = Field(
        default="CeleryQL <celeryql@localhost>", description="From header and envelope sender."
    )
