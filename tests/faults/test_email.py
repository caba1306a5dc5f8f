"""Test e-mail with servers that refuse, stall and disconnect, and with workers that die."""

from __future__ import annotations

import socketserver
import threading
import time

import pytest

from tests.faults.extent import WHOLE
from tests.faults.site import running_site
from tests.processes import running_worker, wait_until

pytestmark = pytest.mark.slow

STALL_S = 2.0  # the client's timeout is 1 s
STAGES = ("connect", "ehlo", "mail", "rcpt", "data", "content")
TEMPORARY_FAULTS = [
    (stage, does)
    for stage in STAGES
    for does in ("drop", "stall", "421 later", "451 later")
    if WHOLE or does != "stall" or stage in ("connect", "content")  # stalls take long
]
ANSWERS = {
    "connect": "220 test", "ehlo": "250 test", "helo": "250 test", "mail": "250 ok",
    "rcpt": "250 ok", "rset": "250 ok", "data": "354 go on", "content": "250 taken",
    "quit": "221 bye",
}  # fmt: skip


class Session(socketserver.StreamRequestHandler):
    """An SMTP session."""

    def handle(self):
        self.server.sessions += 1
        if not self.answer("connect"):
            return
        while line := self.rfile.readline():
            stage = line[:4].decode().strip().lower()
            if not self.answer(stage) or (stage == "data" and not self.content()):
                return

    def content(self):
        text = b""
        while not text.endswith(b"\r\n.\r\n"):
            if not (more := self.rfile.readline()):
                return False
            text += more
        (found,) = [line for line in text.splitlines() if line.lower().startswith(b"message-id")]
        self.server.received.append(found.split(b": ")[1].decode())
        return self.answer("content")

    def answer(self, stage):
        does = self.server.misbehaves(stage)
        if does == "stall":
            time.sleep(STALL_S)
        if does in ("drop", "stall"):
            return False
        if stage == "content" and not does:
            self.server.accepted.append(self.server.received[-1])
        self.wfile.write((does or ANSWERS[stage]).encode() + b"\r\n")
        return True


class MailServer(socketserver.ThreadingTCPServer):
    """A mail server that misbehaves at one stage, a given number of times."""

    daemon_threads = True

    def behave(self, stage="", does="", times=0):
        """At a stage, answer with `does`, or `drop` the connection, or `stall`."""
        self.stage, self.does, self.times = stage, does, times
        self.received, self.accepted = [], []  # Message-IDs
        self.sessions = 0

    def misbehaves(self, stage):
        stage = "ehlo" if stage == "helo" else stage
        if stage != self.stage or not self.times:
            return ""
        self.times -= 1
        return self.does


@pytest.fixture(scope="module")
def running_server():
    with MailServer(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def post_office(project, tmp_path_factory, running_server):
    """Run an installation that uses the mail server, without a worker."""
    settings = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(running_server.server_address[1])}
    with running_site(project, tmp_path_factory.mktemp("post"), **settings) as site:
        yield site


def run_mail_worker(site, name, **settings):
    log = site.folder / f"{name}.log"
    return running_worker("email_service", site.settings | settings, log, pool="solo", name=name)


@pytest.fixture(scope="class")
def worker(post_office):
    with run_mail_worker(post_office, "patient", SMTP_TIMEOUT_S="1"):
        yield


@pytest.fixture
def mail_server(running_server):
    running_server.behave()
    return running_server


async def post(site, options=None):
    mail = {"to": "ann@example.org", "subject": "Hi", "text": "?"}
    return await site.client.enqueue("sendEmail", options, **mail)


async def end_of(site, task_id):
    await site.all_end()
    record = site.redis.hgetall(f"celeryql:task:{task_id}")
    return record["state"], int(record["attempt"]), record.get("failure", "")


@pytest.mark.usefixtures("worker")
class TestOneWorker:
    """Tests that share one worker."""

    @pytest.mark.parametrize(("stage", "does"), TEMPORARY_FAULTS)
    async def test_a_temporary_fault_is_retried(self, post_office, mail_server, stage, does):
        mail_server.behave(stage, does, times=2 if stage == "ehlo" else 1)  # HELO follows EHLO

        task_id = await post(post_office)

        state, attempt, failure = await end_of(post_office, task_id)
        assert (state, failure) == ("SUCCEEDED", "")
        assert attempt in (2, 3)
        assert len(mail_server.accepted) == 1
        assert len(set(mail_server.received)) == 1  # the same Message-ID each time
        assert task_id in mail_server.accepted[0]

    @pytest.mark.parametrize("stage", STAGES)
    async def test_a_permanent_refusal_fails_at_once(self, post_office, mail_server, stage):
        mail_server.behave(stage, "554 never", times=99)

        state, attempt, failure = await end_of(post_office, await post(post_office))

        assert (state, attempt, mail_server.accepted) == ("FAILED", 1, [])
        assert "never" in failure
        assert '"retryable":false' in failure
        assert mail_server.sessions == 1

    async def test_a_message_that_is_never_accepted_fails_after_max_attempts(
        self, post_office, mail_server
    ):
        mail_server.behave("rcpt", "450 greylisted", times=99)

        task_id = await post(post_office, {"maxAttempts": 3})

        state, attempt, failure = await end_of(post_office, task_id)
        assert (state, attempt, mail_server.sessions) == ("FAILED", 3, 3)
        assert '"retryable":true' in failure
        assert "greylisted" in failure


@pytest.mark.parametrize(("stage", "is_known"), [("rcpt", True), ("content", False)])
async def test_a_message_that_may_have_been_sent_is_not_resent_with_on_unknown_fail(
    post_office, mail_server, stage, is_known
):
    mail_server.behave(stage, "drop", times=1)

    with run_mail_worker(post_office, f"careful-{stage}", EMAIL_ON_UNKNOWN="fail"):
        state, _, failure = await end_of(post_office, await post(post_office))

    assert state == ("SUCCEEDED" if is_known else "FAILED")
    assert ("MailOutcomeUnknown" in failure) != is_known
    assert len(mail_server.received) == 1


@pytest.mark.parametrize(("on_unknown", "times"), [("resend", 2), ("fail", 1)])
async def test_a_killed_worker_resends_or_fails_as_set(post_office, mail_server, on_unknown, times):
    mail_server.behave("content", "stall", times=1)
    task_id = await post(post_office)
    with run_mail_worker(post_office, f"{on_unknown}-1") as process:
        wait_until(lambda: mail_server.received, "the message reaches the server")
        process.kill()

    with run_mail_worker(post_office, f"{on_unknown}-2", EMAIL_ON_UNKNOWN=on_unknown):
        state, attempt, failure = await end_of(post_office, task_id)

    assert (state, attempt) == ("SUCCEEDED" if on_unknown == "resend" else "FAILED", 2)
    assert ("MailOutcomeUnknown" in failure) == (on_unknown == "fail")
    assert len(mail_server.received) == times
    assert len(set(mail_server.received)) == 1
