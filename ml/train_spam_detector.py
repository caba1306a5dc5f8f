"""Own `python -m ml.train_spam_detector`, which trains the spam detector of a channel."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.channels import Channel
from ml.console import add_channel, load_corpus, run, say, say_metrics
from ml.corpus import MIN_PER_LABEL, Corpus
from ml.features import SpamClassifier
from ml.manifest import DEFAULT_MODELS, hashes_path
from ml.model_card import CARDS, MIN_FOR_REPORT, write_card
from ml.reading import DATA_HELP
from ml.training import (
    FOLDS,
    MAX_UNSURE_RATE,
    Assessment,
    assess,
    cross_validate,
    split,
    train,
    unsure_rate,
)

_REPORT_HELP = (
    "also measure, print and write docs/model-card.md (for e-mail model-card-email.md), which "
    "takes minutes"
)


@dataclass(frozen=True)
class Options:
    """Hold the options of the command line."""

    channel: Channel
    data: Path | None
    out: Path
    false_positive_rate: float
    report: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _read(arguments)
    return run(lambda: _train(options))


def _read(arguments: Sequence[str] | None) -> Options:
    found = _parser().parse_args(arguments)
    rate = found.false_positive_rate
    return Options(
        channel=found.channel,
        data=found.data,
        out=found.out or DEFAULT_MODELS / found.channel,
        false_positive_rate=found.channel.recipe.false_positive_rate if rate is None else rate,
        report=found.report,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml.train_spam_detector",
        description="Cross-validate, train on all messages and store the model.",
    )
    add_channel(parser)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help=f"{DATA_HELP} (default: the channel's corpus, downloaded on first use)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"the model folder (default: {DEFAULT_MODELS}/CHANNEL)",
    )
    parser.add_argument(
        "--false-positive-rate",
        type=_share,
        metavar="SHARE",
        help="share of ham that may be labeled SPAM, 0 to 0.5 (default: 0.002 for SMS, 0.005 for "
        "e-mail)",
    )
    parser.add_argument("--report", action="store_true", help=_REPORT_HELP)
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= MAX_UNSURE_RATE:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number between 0 and {MAX_UNSURE_RATE}"
        )
    return share


def _train(options: Options) -> None:
    started = time.monotonic()
    corpus = load_corpus(options.data, options.channel)
    corpus.require_learnable(MIN_FOR_REPORT if options.report else MIN_PER_LABEL)
    rate = options.false_positive_rate
    assessment = _cross_validate(corpus, options.channel, rate)
    say("Training on all messages ...")
    manifest = train(corpus, options.channel, assessment, rate, options.out)
    spam, unsure = manifest.thresholds.spam, manifest.thresholds.unsure
    say(f"SPAM from probability {spam:.3f}, chosen for at most {rate:.2%} of the ham")
    say(f"UNSURE from probability {unsure:.3f}, chosen for at most {unsure_rate(rate):.2%}")
    say(
        f"Model {manifest.version} written to {options.out}, its hash to {hashes_path(options.out)}"
    )
    say(f"Finished in {time.monotonic() - started:.1f} s")
    if options.report:
        write_card(CARDS[options.channel], corpus, manifest, say)


def _cross_validate(corpus: Corpus, channel: Channel, rate: float) -> Assessment:
    folds = []
    for fold in cross_validate(split(corpus.messages), SpamClassifier(channel)):
        folds.append(fold)
        say(f"Cross-validation: {len(folds)} of {FOLDS} folds scored")
    assessment = assess(folds, rate)
    say("On messages that the model was not trained on:")
    say_metrics(assessment.at_spam_threshold, f"SPAM, chosen for {rate:.2%} false positives")
    say_metrics(assessment.at_half, "SPAM from probability 0.5")
    return assessment


if __name__ == "__main__":
    sys.exit(main())
