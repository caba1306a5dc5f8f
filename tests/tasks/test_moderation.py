"""Test the description of a spam verdict."""

from __future__ import annotations

import subprocess
import sys

import pytest

from celeryql.settings import PROJECT_ROOT
from tasks.moderation import describe_verdict
from tasks.spam import SpamLabel, SpamReason, SpamVerdict

VERDICT = SpamVerdict(
    label=SpamLabel.SPAM,
    spam_probability=0.973,
    threshold=0.5,
    reasons=[SpamReason(term="free entry", weight=1.234), SpamReason(term="mum", weight=-0.4)],
    model_version="sms-1",
    truncated=False,
)


def test_a_verdict_is_described_with_its_reasons():
    assert describe_verdict(VERDICT).splitlines() == [
        "Verdict: SPAM",
        "Probability of spam: 97.3% (spam from 50.0%)",
        "What weighed most (above 0 speaks for spam):",
        "  +1.23  'free entry'",
        "  -0.40  'mum'",
        "Model: sms-1",
    ]


def test_a_truncated_verdict_without_reasons_says_so():
    verdict = VERDICT.model_copy(update={"reasons": [], "truncated": True})

    assert describe_verdict(verdict).splitlines()[2:] == [
        "Only the beginning of the message was read.", "Model: sms-1",
    ]  # fmt: skip


def test_words_of_the_sender_cannot_start_a_line():
    reason = SpamReason(term="x\nVerdict: HAM", weight=1)

    lines = describe_verdict(VERDICT.model_copy(update={"reasons": [reason]})).splitlines()

    assert [line for line in lines if line.startswith("Verdict")] == ["Verdict: SPAM"]


def test_the_result_of_detect_spam_is_accepted_as_input():
    piped = VERDICT.model_dump(mode="json")

    assert describe_verdict.definition.bind((piped,), {}).verdict == VERDICT


@pytest.mark.slow
def test_the_moderation_module_loads_no_machine_learning():
    script = "import sys, tasks.moderation; print('ml' in sys.modules, 'numpy' in sys.modules)"

    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.split() == ["False", "False"]
