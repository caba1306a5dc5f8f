"""Spam detection: scores messages with the model of their channel."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from tasks.engine import app
from tasks.engine.settings import load_settings

if TYPE_CHECKING:
    from ml.inference import SpamModel


_MESSAGE_MAX = 8_192  # characters; the model reads no more


class SpamLabel(StrEnum):
    """What a message is taken for.

    HAM: Wanted.
    UNSURE: Suspicious, and below the threshold of spam.
    SPAM: Unwanted.
    """

    HAM = "HAM"
    UNSURE = "UNSURE"
    SPAM = "SPAM"


class SpamReason(BaseModel):
    """A part of the message that weighed on the verdict."""

    model_config = ConfigDict(from_attributes=True)

    term: str = Field(max_length=_MESSAGE_MAX, description="The part of the message.")
    weight: float = Field(
        allow_inf_nan=False, description="Its share of the score: above 0 speaks for spam."
    )


class SpamVerdict(BaseModel):
    """What the model makes of one message."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    label: SpamLabel = Field(description="What it is taken for.")
    spam_probability: float = Field(ge=0, le=1, description="Probability of spam.")
    threshold: float = Field(
        ge=0, le=1, description="The probability from which the label is SPAM."
    )
    reasons: list[SpamReason] = Field(
        max_length=100, description="What weighed most, heaviest first."
    )
    model_version: str = Field(max_length=200, description="Which model judged.")
    truncated: bool = Field(description="Only the first 8,192 characters were read.")


@cache
def _model(folder: Path) -> SpamModel:
    """Load the model once per worker process; a failure is not kept, so training mends it."""
    # Imported here, so that neither the API nor the other workers load it.
    from ml.inference import SpamModel  # noqa: PLC0415

    return SpamModel.load(folder)


@app.task(acks_late=True, time_limit=60)
def detect_spam(
    message: Annotated[
        str, Field(min_length=1, max_length=_MESSAGE_MAX, description="The message as plain text.")
    ],
) -> SpamVerdict:
    """Classify one message as spam or ham."""
    verdict = _model(load_settings().model_dir / "sms").verdict(message)
    return SpamVerdict.model_validate(verdict)
