"""Test the e-mail task through plain Celery calls, against real SMTP servers."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from email import message_from_bytes, message_from_string
from email.policy import default
from smtplib import SMTPAuthenticationError, SMTPRecipientsRefused

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult

from celeryql.errors import InvalidArguments
from celeryql.settings import DATA_DIR, PROJECT_ROOT
from graphql_api.local.redis_server import private_redis, reserve_port
from tasks.email import send_email
from tasks.settings import load_settings
from tests.processes import running_worker

MAIL = {"to": ["ann@example.org"], "subject": "Hello", "text": "How are you?"}

# For 127.0.0.1, valid until 2126; made for these tests and used nowhere else.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZsoZIBI2ILK9gm7O
2A81FyWs6qK99gxYDR/0qGmuGS+hRANCAASnQVnufZiDM5WINQ7MW5kZUUKuoNir
hhrWfHH9fA+pqbatcgH5B56Xg4p2AyrYiRGI7IUE7YWwE03IEZFmvA1J
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkTCCATagAwIBAgIUKn0qgrckD02pZTD9CwuuinVZmggwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMjEwMTcxNloYDzIxMjYxMDI5
MTAxNzE2WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASnQVnufZiDM5WINQ7MW5kZUUKuoNirhhrWfHH9fA+pqbatcgH5B56X
g4p2AyrYiRGI7IUE7YWwE03IEZFmvA1Jo2QwYjAdBgNVHQ4EFgQUom2GPWqyLwoj
iuBbFq2BgEaze7gwHwYDVR0jBBgwFoAUom2GPWqyLwojiuBbFq2BgEaze7gwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYC
IQChMfs8u7VGLh+7ApK39Ruo5I3XnKTbBDAzSzr/FGo+4wIhAI/0VBO0s+oxcULh
9BCnQrFPgl6wlnhcMH8dXBAmMGVg
-----END CERTIFICATE-----
"""


class Inbox(Mailbox):
    """Stores messages, but refuses recipients whose name starts with `no`."""

    async def handle_RCPT(self, _, __, envelope, address, *___):  # noqa: N802
        if address.startswith("no"):
            return "550 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.fixture
def smtp(monkeypatch, tmp_path):
    """Start a mail server, configure this process to use it, and return its folder."""
    controllers = []

    def start(settings=None, handler=None, **options):
        folder = tmp_path / "inbox"
        port = reserve_port()
        handler = handler or Inbox(folder)
        controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
        controller.start()
        controllers.append(controller)
        for name, value in {"SMTP_PORT": str(port), **(settings or {})}.items():
            monkeypatch.setenv(name, value)
        load_settings.cache_clear()
        return folder / "new"

    yield start
    for controller in controllers:
        controller.stop()
    load_settings.cache_clear()


@pytest.fixture
def tls(monkeypatch, tmp_path):
    """Return a server-side TLS context whose certificate is trusted through SSL_CERT_FILE."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def texts(folder):
    return [path.read_text() for path in folder.iterdir()]


@pytest.mark.slow
def test_the_email_worker_sends_a_message(celery_workers, request, is_live):
    inbox = DATA_DIR / "mail" if is_live else request.getfixturevalue("maildir")
    if is_live and not (inbox.is_dir() and load_settings().smtp_host == "127.0.0.1"):
        pytest.skip("the running installation would send a real e-mail")
    celery_workers("email_service")

    receipt = send_email.delay(**MAIL).get(timeout=10)

    assert receipt["refused_recipients"] == []
    (mail,) = [text for text in texts(inbox / "new") if receipt["message_id"] in text]
    assert "To: ann@example.org\nSubject: Hello\n" in mail
    assert mail.rstrip().endswith("How are you?")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"subject": "Hi\nBcc: eve@example.org"}, r"subject: .*one line"),
        ({"to": ["ann@example.org\r\nBcc: eve@example.org"]}, "to.0: not an e-mail"),
        ({"reply_to": "ann@example.org\n"}, "reply_to: not an e-mail address"),
        ({"bcc": ["ann@example.org, eve@example.org"]}, "bcc.0: not an e-mail"),
        ({"to": ["ann@ex\u00e4mple.org"]}, r"to.0: not ASCII, .* write the domain as `xn--...`"),
        ({"subject": "=?utf-8?b?YQ0KQmNjOiB4QHkueg==?="}, "subject: not plain text"),
        ({"to": ["x" * 101 + "<ann@example.org>"]}, "to.0: the name before .* 100 characters"),
        ({"to": []}, "to: List should have at least 1 item"),
        ({"to": ["ann@example.org"] * 51}, "to: List should have at most 50 items"),
        ({"cc": ["ann@example.org"] * 51}, "cc: List should have at most 50 items"),
        ({"subject": "x" * 501}, "subject: String should have at most 500 characters"),
        ({"text": "x" * 1_000_001}, "text: String should have at most 1000000 characters"),
    ],
    ids=[
        "subject",
        "address",
        "reply to",
        "list",
        "not ASCII",
        "encoded word",
        "long name",
        "nobody",
        "many",
        "copies",
        "long",
        "longer",
    ],
)
def test_invalid_arguments_are_refused_before_connecting(celery_workers, change, problem):
    celery_workers("email_service")

    with pytest.raises(InvalidArguments, match=f"^send_email: {problem}") as caught:
        send_email.delay(**MAIL | change).get(timeout=10)

    assert "eve" not in str(caught.value)


def test_a_recipient_can_have_a_name(smtp):
    inbox = smtp()

    receipt = send_email(
        **MAIL | {"to": ["Jörg B. <joerg@example.org>", "Nobody <no@example.org>"]}
    )

    (mail,) = texts(inbox)
    assert receipt.refused_recipients == ["no@example.org"]
    assert "X-RcptTo: joerg@example.org\n" in mail
    head = message_from_string(mail, policy=default)
    assert [(to.display_name, to.addr_spec) for to in head["To"].addresses] == [
        ("Jörg B.", "joerg@example.org"),
        ("Nobody", "no@example.org"),
    ]


def test_fifty_recipients_keep_names_of_any_kind(smtp):
    """Commas between recipients are not encoded together with names, as in Python 3.11."""
    wire = Wire()
    smtp(handler=wire)
    names = ("Ann Lee", "Jörg Müller", "Lee, Ann", "\u674e\u96f7", 'A "B" C', "ö" * 12)
    to = [
        f'"{names[i % 6].replace(chr(34), chr(92) + chr(34))}" <a{i}@example.org>'
        for i in range(50)
    ]

    send_email(**MAIL | {"to": to, "cc": to[:3], "reply_to": to[1]})

    head = message_from_bytes(wire.received[0], policy=default)
    expected = [(names[i % 6], f"a{i}@example.org") for i in range(50)]
    assert [(a.display_name, a.addr_spec) for a in head["To"].addresses] == expected
    assert [(a.display_name, a.addr_spec) for a in head["Cc"].addresses] == expected[:3]
    assert head["Reply-To"].addresses[0].display_name == "Jörg Müller"


def test_a_single_address_is_accepted_as_a_list():
    bound = send_email.definition.bind((), MAIL | {"to": "ann@example.org"})

    assert bound.to == ["ann@example.org"]


def test_a_direct_call_cannot_inject_a_header(smtp):
    inbox = smtp()

    with pytest.raises(ValueError, match="header Subject contains a linefeed"):
        send_email(**MAIL | {"subject": "Hi\nBcc: eve@example.org"})

    assert texts(inbox) == []


def test_text_that_looks_like_smtp_commands_is_sent_as_text(smtp):
    inbox = smtp()

    send_email(**MAIL | {"text": "one\r\n.\r\nRSET\r\n.two"})

    (mail,) = texts(inbox)
    assert "one\n.\nRSET\n.two" in mail


class Wire:
    """Stores each message as it arrives over the wire."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def handle_DATA(self, _, __, envelope):  # noqa: N802
        self.received.append(envelope.original_content)
        return "250 OK"


TEXTS = {
    "plain": "How are you?\n\nAnn",
    "separator": "From me to you\nFrom here\n>From there\nfrom now on",
    "separator, not ASCII": "Größe:\nFrom me",
    "separator at a soft break": "".join("y" * n + "From me " for n in range(60, 90)),
    "end of a message": ".\n..\n.x\nRSET\n.\nQUIT\n",
    "head": "Subject: x\nBcc: eve@example.org\n\n--===============\n--\n",
    "spaces": "  a \n\tb\t\n \n-- \nAnn",
    "blank lines": "\n\n\nHow are you?\n\n\n",
    "nothing": "",
    "long line": "lorem ipsum " * 10_000,
    "long word": "x" * 100_000,
    "escapes": "=\n=20=\n" + "=3D" * 100,
    "control characters": "\0" + "".join(map(chr, range(1, 32))).replace("\r", "") + "\x7f",
    "not ASCII": "Grüße, \u4f60\u597d \U0001f600 " * 100,
    "line breaks only in Python": "\x0b\x0c\x1c\x85\u2028\u2029" * 30,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_arrives_unchanged(smtp, text):
    wire = Wire()
    smtp(handler=wire)

    send_email(**MAIL | {"text": text, "html": f"<pre>{text}</pre>"})

    (source,) = wire.received
    mail = message_from_bytes(source, policy=default)
    plain, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
    assert plain == (text if text.endswith("\n") else text + "\n")
    assert html == f"<pre>{text}</pre>\n"
    assert [mail.defects, *(part.defects for part in mail.iter_parts())] == [[], [], []]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_messages_contain_nothing_that_servers_alter(smtp, text):
    wire = Wire()
    smtp(handler=wire)

    send_email(**MAIL | {"text": text, "html": f"<pre>{text}</pre>"})

    (source,) = wire.received
    assert all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in source)
    lines = source.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert not any(line.startswith(b"From ") for line in lines)
    assert not any(line.endswith((b" ", b"\t")) for line in lines)
    assert max(map(len, lines)) <= 76


@pytest.mark.parametrize("text", ["a\r\nb\nc\rd", "a\nb\r\nc\r\nd\r\n", "a\rb\rc\rd\r"])
def test_any_line_break_becomes_crlf(smtp, text):
    wire = Wire()
    smtp(handler=wire)

    send_email(**MAIL | {"text": text})

    assert wire.received[0].endswith(b"\r\n\r\na\r\nb\r\nc\r\nd\r\n")


@pytest.mark.parametrize(
    "subject",
    [
        "Grüße",
        "Grüße aus Köln " * 30,
        "\u4f60\u597d" * 200,
        "\U0001f600 " * 200,
        "two  spaces",
        "a" * 500,
        "word " * 60 + "ü",
        "ü" + " word" * 60,
        'a, "b"; <c>: d\\',
        "=20 _a_ ?=",
        "From me",
        "..",
        "",
    ],
)
def test_a_subject_arrives_unchanged(smtp, subject):
    wire = Wire()
    smtp(handler=wire)

    send_email(**MAIL | {"subject": subject})

    assert message_from_bytes(wire.received[0], policy=default)["Subject"] == subject


def test_the_receipt_lists_refused_recipients(smtp):
    inbox = smtp()

    receipt = send_email(
        to=["ann@example.org", "no1@example.org"], subject="Hi", text="?", bcc=["no0@example.org"]
    )

    assert receipt.refused_recipients == ["no0@example.org", "no1@example.org"]
    (mail,) = texts(inbox)
    assert "X-RcptTo: ann@example.org\n" in mail


def test_a_message_fails_if_all_recipients_are_refused(smtp):
    inbox = smtp()

    with pytest.raises(SMTPRecipientsRefused, match=r"no@example\.org"):
        send_email(**MAIL | {"to": ["no@example.org"]})

    assert texts(inbox) == []


@pytest.mark.slow
def test_the_task_fails_if_all_recipients_are_refused(smtp, tmp_path):
    smtp()
    script = (
        "from tasks.email import send_email\n"
        "result = send_email.delay(['no@example.org'], 'Hello', 'How are you?')\n"
        "result.get(timeout=10, propagate=False)\n"
        "print(result.state, repr(result.result))"
    )
    with private_redis(tmp_path / "redis") as url:
        environment = {"REDIS_URL": url}
        with running_worker("email_service", environment, tmp_path / "worker.log"):
            caller = [sys.executable, "-c", script]
            output = subprocess.check_output(
                caller, cwd=PROJECT_ROOT, env=os.environ | environment, text=True
            )

    assert output.startswith("FAILURE SMTPRecipientsRefused(")
    assert "No such user" in output


def test_starttls_and_login(smtp, tls):
    def check(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"ann", b"secret"))

    login = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "ann", "SMTP_PASSWORD": "secret"}
    inbox = smtp(
        login, tls_context=tls, require_starttls=True, authenticator=check, auth_required=True
    )

    send_email(**MAIL)

    assert len(texts(inbox)) == 1


def test_a_wrong_password_fails_without_revealing_it(smtp, tls):
    def check(*_):
        return AuthResult(success=False, handled=False)

    login = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "ann", "SMTP_PASSWORD": "secret"}
    smtp(login, tls_context=tls, authenticator=check)

    with pytest.raises(SMTPAuthenticationError) as caught:
        send_email(**MAIL)

    assert "secret" not in str(caught.value)


def test_implicit_tls(smtp, tls):
    inbox = smtp({"SMTP_SECURITY": "ssl"}, ssl_context=tls)

    send_email(**MAIL)

    assert len(texts(inbox)) == 1


def test_no_message_is_sent_to_a_server_with_an_untrusted_certificate(smtp, tls, monkeypatch):
    inbox = smtp({"SMTP_SECURITY": "starttls"}, tls_context=tls)
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(ssl.SSLCertVerificationError):
        send_email(**MAIL)

    assert texts(inbox) == []
