"""The moderation task, which describes a spam verdict as text, for example for an e-mail."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.celery_app import app
from tasks.spam import SpamVerdict


@app.task
def describe_verdict(
    verdict: Annotated[SpamVerdict, Field(description="The verdict that `detectSpam` returned.")],
) -> str:
    """Describe a spam verdict as plain text."""
    lines = [
        f"Verdict: {verdict.label}",
        f"Probability of spam: {verdict.spam_probability:.1%} (spam from {verdict.threshold:.1%})",
    ]
    if verdict.reasons:
        lines.append("What weighed most (above 0 speaks for spam):")
    # quoted, because the sender chose these words: none may start a line of its own
    lines += [f"  {reason.weight:+.2f}  {reason.term!r}" for reason in verdict.reasons]
    if verdict.truncated:
        lines.append("Only the beginning of the message was read.")
    if verdict.out_of_domain:
        lines.append("The message is far from what the model was trained on.")
    lines.append(f"Model: {verdict.model_version}")
    return "\n".join(lines)
