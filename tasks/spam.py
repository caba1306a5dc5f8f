"""Spam detection: scores messages with the model of their channel."""

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


_MESSAGE_MAX = 8_192  # characters; of the text of a message, the model reads no more
_MESSAGES_MAX = 1_000


class SpamChannel(StrEnum):
    """How a message came; each channel has a model of its own.

    SMS: A text message.
    EMAIL: An e-mail: its source or the beginning of it, or subject, blank line and text.
    """

    SMS = "SMS"
    EMAIL = "EMAIL"


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
        allow_inf_nan=False, description="What it adds to the score: above 0 speaks for spam."
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
    out_of_domain: bool = Field(
        default=False,  # verdicts made before there was this field are handed over, too
        description="Far from what the channel's model was trained on, so that it can say little.",
    )


Message = Annotated[
    str, Field(min_length=1, max_length=_MESSAGE_MAX, description="The message, as it came.")
]
ChannelArgument = Annotated[SpamChannel, Field(description="How it came.")]


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
    """Classify messages as spam or ham, all by one model; one verdict each, in their order."""
    model = _model(channel)
    verdicts = []
    for message in messages:
        verdicts.append(_verdict(model, message))
        report_progress(len(verdicts), len(messages), "messages classified")
    return verdicts


def _model(channel: SpamChannel) -> SpamModel:
    """Give the channel's model: the one that training has stored last."""
    settings = load_settings()
    trusted = frozenset(settings.model_sha256)
    return _live_model(settings.model_dir, channel.lower(), trusted).current()


@cache
def _live_model(models: Path, channel: str, trusted: frozenset[str]) -> LiveModel:
    # Imported here, so that neither the API nor the other workers load it.
    from ml.channels import Channel  # noqa: PLC0415
    from ml.live import LiveModel  # noqa: PLC0415

    return LiveModel(models / channel, Channel(channel), trusted)


def _verdict(model: SpamModel, message: str) -> SpamVerdict:
    return SpamVerdict.model_validate(model.verdict(message))
