"""The settings of the tasks: a value that cannot be used is refused in one sentence."""

from __future__ import annotations

import os

import pytest

from celeryql.errors import BadSettings
from celeryql.settings import PROJECT_ROOT
from tasks.settings import TaskSettings
from tests.processes import run_to_end

REASONS = [
    ("SMTP_HOST", "mail.example.org:25", "not a host"),
    ("SMTP_HOST", "mail example", "not a host"),
    ("SMTP_PORT", "smtp", "valid integer"),
    ("SMTP_SECURITY", "tls", "'none', 'starttls' or 'ssl'"),
    ("SMTP_TIMEOUT_S", "inf", "finite"),
    ("SMTP_TIMEOUT_S", "0", "greater than 0"),
    ("SMTP_USERNAME", "ann", "SMTP_PASSWORD: set both"),
    ("SMTP_PASSWORD", "hunter2", "SMTP_USERNAME and"),
    ("EMAIL_FROM", "Ann", "not a sender"),
    ("EMAIL_FROM", "ann@example.org\r\nBcc: bob@example.org", "not a sender"),
    ("EMAIL_FROM", "ann@exämple.org", "not a sender"),
    ("EMAIL_ON_UNKNOWN", "retry", "'resend' or 'fail'"),
    ("MODEL_SHA256", '["ABC"]', "match pattern"),
    ("MODEL_DIR", __file__, "not a folder"),
]


@pytest.mark.parametrize(("name", "value", "reason"), REASONS)
def test_the_error_names_the_setting_and_the_reason(monkeypatch, name, value, reason):
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings) as refusal:
        TaskSettings.read()

    assert name in str(refusal.value)
    assert reason in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [["-m", "graphql_api.local"], ["-m", "celery", "-A", "tasks", "worker"]],
    ids=["up", "worker"],
)
def test_a_bad_mail_port_ends_the_start_with_one_sentence(program):
    ended = run_to_end(program, PROJECT_ROOT, SMTP_PORT="hunter2")

    assert "setting SMTP_PORT: Input should be a valid integer" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "hunter2" not in ended.stdout + ended.stderr
    assert ended.returncode == os.EX_CONFIG


@pytest.mark.parametrize("host", ["::1", "192.168.1.2", "mail.example.org.", "my_mail-1"])
def test_names_and_addresses_are_hosts(monkeypatch, host):
    monkeypatch.setenv("SMTP_HOST", host)

    assert TaskSettings.read().smtp_host == host


@pytest.mark.parametrize("sender", ["ann@example.org", "Ann <ann@example.org>", "A <a@localhost>"])
def test_a_sender_may_have_a_name(monkeypatch, sender):
    monkeypatch.setenv("EMAIL_FROM", sender)

    assert TaskSettings.read().email_from == sender
