"""E-mail: hands a message to the configured SMTP server."""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address as ParsedAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Annotated

from celery import Task
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from tasks.engine import app
from tasks.engine.settings import Settings, SmtpSecurity, load_settings

_BODY_MAX = 1_000_000  # characters; servers commonly refuse messages above 10 MB


# The mail server may not speak SMTPUTF8, and the worker would be the first to learn it.
_NO_ASCII = PydanticCustomError(
    "ascii_address",
    "not ASCII, and other addresses (SMTPUTF8) cannot be mailed to: write the domain as `xn--...`",
)
_NO_ADDRESS = PydanticCustomError("email_address", "not an e-mail address such as ann@example.org")


def _one_line(text: str) -> str:
    if len(text.splitlines()) > 1 or any(c < " " or c == "\x7f" for c in text):
        raise PydanticCustomError("one_line", "not one line of text: it has a control character")
    # Pythons before 3.11.10 and 3.12.5 decode it into a header, line breaks within included.
    if "=?" in text:
        raise PydanticCustomError("encoded_word", "not plain text: it has an encoded word (`=?`)")
    return text


def _address(text: str) -> str:
    if not text.isascii():
        raise _NO_ASCII
    try:
        parsed = ParsedAddress(addr_spec=_one_line(text))
    except (ValueError, HeaderParseError, IndexError) as error:
        raise _NO_ADDRESS from error
    if not parsed.username or not parsed.domain:
        raise _NO_ADDRESS
    return text


Address = Annotated[str, Field(max_length=254), AfterValidator(_address)]
# One address may stand for a list of one, as GraphQL allows for every list.
Addresses = Annotated[
    list[Address],
    Field(max_length=50),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]


class EmailReceipt(BaseModel):
    """What the mail server answered."""

    message_id: str = Field(description="The Message-ID header of the message.")
    accepted_at: datetime = Field(description="When the server took it.")
    refused_recipients: list[str] = Field(
        description="Addresses that the server refused, while it took the message for the others."
    )


@app.task(bind=True, acks_late=True, time_limit=120)
def send_email(
    self: Task,
    to: Annotated[Addresses, Field(min_length=1, description="Recipients.")],
    subject: Annotated[
        str, Field(max_length=500), AfterValidator(_one_line), Field(description="Subject line.")
    ],
    text: Annotated[str, Field(max_length=_BODY_MAX, description="The message as plain text.")],
    html: Annotated[
        str | None, Field(max_length=_BODY_MAX, description="The message as HTML, beside the text.")
    ] = None,
    cc: Annotated[Addresses | None, Field(description="Further recipients, named.")] = None,
    bcc: Annotated[Addresses | None, Field(description="Further recipients, not named.")] = None,
    reply_to: Annotated[Address | None, Field(description="Where answers go.")] = None,
) -> EmailReceipt:
    """Hand one message to the configured mail server."""
    settings = load_settings()
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.email_from
    message["To"] = ", ".join(to)
    if cc:
        message["Cc"] = ", ".join(cc)
    if reply_to:
        message["Reply-To"] = reply_to
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC))
    domain = settings.email_from.rpartition("@")[2].rstrip("> ")
    message["Message-ID"] = f"<{self.request.id}@{domain}>" if self.request.id else make_msgid()
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    refused = _deliver(message, [*to, *(cc or ()), *(bcc or ())], settings)
    return EmailReceipt(
        message_id=message["Message-ID"],
        accepted_at=datetime.now(UTC),
        refused_recipients=sorted(refused),
    )


def _deliver(message: EmailMessage, recipients: list[str], settings: Settings) -> list[str]:
    """Send a message, and name the recipients that the server refused."""
    with _connect(settings) as smtp:
        if settings.smtp_security is SmtpSecurity.STARTTLS:
            smtp.starttls(context=ssl.create_default_context())
        if settings.smtp_username and settings.smtp_password:
            smtp.login(settings.smtp_username, settings.smtp_password.get_secret_value())
        return list(smtp.send_message(message, to_addrs=recipients))


def _connect(settings: Settings) -> smtplib.SMTP:
    where = (settings.smtp_host, settings.smtp_port)
    if settings.smtp_security is SmtpSecurity.SSL:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(*where, timeout=settings.smtp_timeout_s, context=context)
    return smtplib.SMTP(*where, timeout=settings.smtp_timeout_s)
