"""The e-mail task, which passes a message to the configured SMTP server."""

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
from tasks.mail import encode_header_text, fold_list, write_mail
from tasks.settings import OnUnknown, SmtpSecurity, TaskSettings, load_settings

_BODY_MAX = 1_000_000  # characters; servers commonly refuse messages above 10 MB

# A single address is accepted as a list of one, as GraphQL does for every list.
Addresses = Annotated[
    list[Address],
    Field(max_length=50),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]


class EmailReceipt(BaseModel):
    """The response of the mail server."""

    message_id: str = Field(description="The Message-ID header of the message.")
    accepted_at: datetime = Field(description="When the server accepted the message.")
    refused_recipients: list[str] = Field(
        description="Addresses that the server refused while accepting the message for others."
    )


# Retrying does not help with these.
_PERMANENT = (smtplib.SMTPException, ssl.SSLCertVerificationError)


class MailOutcomeUnknown(Exception):
    """The message may have been sent, and EMAIL_ON_UNKNOWN=fail forbids sending it again."""


class _Session(smtplib.SMTP):
    """An SMTP session that claims the message just before the server can accept it."""

    claim: Claim

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.claim.take()
        return super().data(msg)


class _TlsSession(_Session, smtplib.SMTP_SSL):
    """The same with implicit TLS."""


# Ten attempts take some minutes, which is about how long a greylisting server asks to wait.
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
        str | None,
        Field(max_length=_BODY_MAX, description="The message as HTML, in addition to the text."),
    ] = None,
    cc: Annotated[Addresses | None, Field(description="Recipients of a visible copy.")] = None,
    bcc: Annotated[Addresses | None, Field(description="Recipients of a hidden copy.")] = None,
    reply_to: Annotated[Address | None, Field(description="The address for replies.")] = None,
) -> EmailReceipt:
    """Send one message through the configured mail server."""
    settings = load_settings()
    domain = settings.email_from.rpartition("@")[2].rstrip("> ")
    message_id = f"<{self.request.id}@{domain}>" if self.request.id else make_msgid()
    headers = {"From": in_header(settings.email_from), "To": _in_header(to)}
    headers |= {"Cc": _in_header(cc)} if cc else {}
    headers |= {"Reply-To": in_header(reply_to)} if reply_to else {}
    headers["Subject"] = encode_header_text(subject)
    headers["Date"] = format_datetime(datetime.now(UTC))
    headers["Message-ID"] = message_id
    recipients = [bare_address(given) for given in (*to, *(cc or ()), *(bcc or ()))]
    refused = _deliver(write_mail(headers, text, html), recipients, settings, Claim(self))
    return EmailReceipt(
        message_id=message_id,
        accepted_at=datetime.now(UTC),
        refused_recipients=sorted(refused),
    )


def _in_header(addresses: list[str]) -> str:
    return fold_list([in_header(address) for address in addresses])


def _deliver(
    message: bytes, recipients: list[str], settings: TaskSettings, claim: Claim
) -> list[str]:
    """Send a message and return the recipients that the server refused.

    Raises:
        Retryable: the server cannot be reached, or asks to try again later.
        MailOutcomeUnknown: the message may have been sent before.
        smtplib.SMTPException: the server refuses the message permanently.
    """
    may_resend = settings.email_on_unknown is OnUnknown.RESEND
    if claim.is_taken() and not may_resend:
        raise MailOutcomeUnknown(
            "an earlier run ended while it was sending the message, so the message may have been "
            "sent; EMAIL_ON_UNKNOWN=fail forbids sending it again"
        )
    try:
        with _connected(settings) as smtp:
            smtp.claim = claim
            return list(smtp.sendmail(bare_address(settings.email_from), recipients, message))
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        claim.give_back()  # the server refused the message, so it was not sent
        if _is_temporary(error):
            raise Retryable(f"the mail server asks to try again later: {error}") from error
        raise
    except OSError as error:
        is_disconnect = isinstance(error, smtplib.SMTPServerDisconnected)
        if isinstance(error, _PERMANENT) and not is_disconnect:
            raise
        if claim.is_taken() and not may_resend:
            raise MailOutcomeUnknown(
                f"the connection to the mail server was lost while sending: {error}"
            ) from error
        raise Retryable(f"the mail server cannot be reached: {error}") from error


def _is_temporary(error: smtplib.SMTPException) -> bool:
    """Return whether a refusal, or one of several, is temporary (4xx)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code // 100 == 4 for code, _ in error.recipients.values())  # noqa: PLR2004
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code // 100 == 4  # noqa: PLR2004


@contextmanager
def _connected(settings: TaskSettings) -> Iterator[_Session]:
    """Connect and log in to the mail server; ignore errors of the final QUIT."""
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
