"""Spam detection tasks, which classify messages with the model of their channel."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from celeryql import report_progress
from tasks.celery_app import app
from tasks.settings import load_settings

if TYPE_CHECKING:
    from ml.inference import SpamModel
    from ml.live import LiveModel


_MESSAGE_MAX = 8_192  # characters; the model reads no more of a message
_MESSAGES_MAX = 1_000


class SpamChannel(StrEnum):
    """How a message was sent; each channel has its own model.

    SMS: A text message.
    EMAIL: An e-mail: its source or the start of it, or the subject, a blank line and the text.
    """

    SMS = "SMS"
    EMAIL = "EMAIL"


class SpamLabel(StrEnum):
    """How a message is classified.

    HAM: Wanted.
    UNSURE: Suspicious, but below the threshold for spam.
    SPAM: Unwanted.
    """

    HAM = "HAM"
    UNSURE = "UNSURE"
    SPAM = "SPAM"


class SpamReason(BaseModel):
    """A part of the message that influenced the verdict."""

    model_config = ConfigDict(from_attributes=True)

    term: str = Field(max_length=_MESSAGE_MAX, description="The part of the message.")
    weight: float = Field(
        allow_inf_nan=False, description="Its weight in the score; above 0 indicates spam."
    )


class SpamVerdict(BaseModel):
    """The classification of one message."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    label: SpamLabel = Field(description="How the message is classified.")
    spam_probability: float = Field(ge=0, le=1, description="Probability of spam.")
    threshold: float = Field(
        ge=0, le=1, description="The probability from which the label is SPAM."
    )
    reasons: list[SpamReason] = Field(
        max_length=100, description="The parts with the largest weights, largest first."
    )
    model_version: str = Field(max_length=200, description="The version of the model.")
    truncated: bool = Field(description="Whether only the first 8,192 characters were read.")
    out_of_domain: bool = Field(
        default=False,  # stored verdicts may be older than this field
        description="Whether the message is unlike the training messages, which makes the "
        "probability unreliable.",
    )


Message = Annotated[
    str, Field(min_length=1, max_length=_MESSAGE_MAX, description="The message as received.")
]
ChannelArgument = Annotated[SpamChannel, Field(description="How the message was sent.")]


@app.task(acks_late=True, time_limit=60)
def detect_spam(message: Message, channel: ChannelArgument = SpamChannel.SMS) -> SpamVerdict:
    """Classify one message as spam or ham."""
    return _verdict(_model(channel), message)


@app.task(acks_late=True, time_limit=120)
def detect_spam_batch(
    messages: Annotated[
        list[Message],
        Field(min_length=1, max_length=_MESSAGES_MAX, description="Messages of one channel."),
    ],
    channel: ChannelArgument = SpamChannel.SMS,
) -> Annotated[list[SpamVerdict], Field(max_length=_MESSAGES_MAX)]:
    """Classify messages as spam or ham with one model; the verdicts are in the same order."""
    model = _model(channel)
    verdicts = []
    for message in messages:
        verdicts.append(_verdict(model, message))
        report_progress(len(verdicts), len(messages), "messages classified")
    return verdicts


def _model(channel: SpamChannel) -> SpamModel:
    """Return the channel's model, reloaded if training has stored a new one."""
    settings = load_settings()
    trusted = frozenset(settings.model_sha256)
    return _live_model(settings.model_dir, channel.lower(), trusted).current()


@cache
def _live_model(models: Path, channel: str, trusted: frozenset[str]) -> LiveModel:
    # imported here, so that neither the API nor the other workers load it
    from ml.channels import Channel  # noqa: PLC0415
    from ml.live import LiveModel  # noqa: PLC0415

    return LiveModel(models / channel, Channel(channel), trusted)


def _verdict(model: SpamModel, message: str) -> SpamVerdict:
    return SpamVerdict.model_validate(model.verdict(message))
