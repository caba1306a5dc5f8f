"""E-mail: hands a message to the configured SMTP server."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime, make_msgid
from typing import Annotated, Any

from celery import Task
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from celeryql import Claim, Retryable
from tasks.addresses import Address, bare_address, in_header, one_line
from tasks.celery_app import app
from tasks.mail import encoded, listed, write
from tasks.settings import OnUnknown, SmtpSecurity, TaskSettings, load_settings

_BODY_MAX = 1_000_000  # characters; servers commonly refuse messages above 10 MB

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


# What trying again does not mend, where the server has not even answered.
_FOR_GOOD = (smtplib.SMTPException, ssl.SSLCertVerificationError)


class MailOutcomeUnknown(Exception):
    """It is not known whether the mail was sent, and the settings forbid to send it again."""


class _Session(smtplib.SMTP):
    """A session that claims the mail just before the server could take it."""

    claim: Claim

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.claim.take()
        return super().data(msg)


class _TlsSession(_Session, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""


# Ten attempts last for some minutes: as long as a greylisting server may want one to wait.
@app.task(bind=True, acks_late=True, time_limit=120, max_retries=9)
def send_email(
    self: Task,
    to: Annotated[
        Addresses,
        Field(
            min_length=1, description="Recipients: `ann@example.org` or `Ann <ann@example.org>`."
        ),
    ],
    subject: Annotated[
        str, Field(max_length=500), AfterValidator(one_line), Field(description="Subject line.")
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
    domain = settings.email_from.rpartition("@")[2].rstrip("> ")
    message_id = f"<{self.request.id}@{domain}>" if self.request.id else make_msgid()
    head = {"From": in_header(settings.email_from), "To": _in_header(to)}
    if cc:
        head["Cc"] = _in_header(cc)
    if reply_to:
        head["Reply-To"] = in_header(reply_to)
    head["Subject"] = encoded(subject)
    head["Date"] = format_datetime(datetime.now(UTC))
    head["Message-ID"] = message_id
    message = write(head, text, html)
    recipients = [bare_address(given) for given in (*to, *(cc or ()), *(bcc or ()))]
    refused = _deliver(message, recipients, settings, Claim(self))
    return EmailReceipt(
        message_id=message_id,
        accepted_at=datetime.now(UTC),
        refused_recipients=sorted(refused),
    )


def _in_header(addresses: list[str]) -> str:
    return listed([in_header(address) for address in addresses])


def _deliver(
    message: bytes, recipients: list[str], settings: TaskSettings, claim: Claim
) -> list[str]:
    """Send a message, and name the recipients that the server refused.

    Raises:
        Retryable: the server cannot be reached, or asks to try again later.
        MailOutcomeUnknown: it may have been sent before.
        smtplib.SMTPException: the server refuses it for good.
    """
    may_resend = settings.email_on_unknown is OnUnknown.RESEND
    if claim.is_taken() and not may_resend:
        raise MailOutcomeUnknown("a run before ended while it was being sent")
    try:
        with _connected(settings) as smtp:
            smtp.claim = claim
            return list(smtp.sendmail(bare_address(settings.email_from), recipients, message))
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        claim.give_back()  # it is known: it was not sent
        if _is_temporary(error):
            raise Retryable(f"the mail server asks to try again later: {error}") from error
        raise
    except OSError as error:
        if isinstance(error, _FOR_GOOD) and not isinstance(error, smtplib.SMTPServerDisconnected):
            raise
        if claim.is_taken() and not may_resend:
            raise MailOutcomeUnknown(f"the connection was lost while sending: {error}") from error
        raise Retryable(f"the mail server cannot be reached: {error}") from error


def _is_temporary(error: smtplib.SMTPException) -> bool:
    """Tell whether a refusal is not for good (4xx); of several, whether one is not."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code // 100 == 4 for code, _ in error.recipients.values())  # noqa: PLR2004
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code // 100 == 4  # noqa: PLR2004


@contextmanager
def _connected(settings: TaskSettings) -> Iterator[_Session]:
    """Log in to the mail server; how it takes the farewell is of no interest."""
    where = (settings.smtp_host, settings.smtp_port)
    smtp: _Session
    if settings.smtp_security is SmtpSecurity.SSL:
        context = ssl.create_default_context()
        smtp = _TlsSession(*where, timeout=settings.smtp_timeout_s, context=context)
    else:
        smtp = _Session(*where, timeout=settings.smtp_timeout_s)
    try:
        if settings.smtp_security is SmtpSecurity.STARTTLS:
            smtp.starttls(context=ssl.create_default_context())
        if settings.smtp_username and settings.smtp_password:
            smtp.login(settings.smtp_username, settings.smtp_password.get_secret_value())
        yield smtp
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
    finally:
        smtp.close()
