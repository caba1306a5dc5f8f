"""Try the spam detector: `python -m ml.test_spam_detector [MESSAGE ...] [--data FILE]`.

Only messages that a model was not trained on tell how good it is, and the stored model was trained
on its whole corpus. So of a labelled file it scores the messages that are new to it. Where none is,
as with its own corpus, a twin stands in: the same recipe, thresholds and serving code, trained on
four fifths of the file and scoring the last. The thresholds were chosen with scores of all fifths;
only the figures at 0.5 owe nothing to the last.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ml.artefact import DEFAULT_MODEL, read_manifest, read_model
from ml.console import DATA_HELP, load_corpus, run, say, say_figures
from ml.corpus import Corpus, LabelledMessage, fingerprint
from ml.figures import measure
from ml.inference import SpamModel


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ml.test_spam_detector",
        description="Score the model on messages, or on labelled ones that it has not seen.",
    )
    parser.add_argument("messages", nargs="*", metavar="MESSAGE", help="a text to classify")
    parser.add_argument(
        "--model", type=Path, metavar="DIR", default=DEFAULT_MODEL, help="default: %(default)s"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help=f"{DATA_HELP} (default without messages: the SMS Spam Collection)",
    )
    options = parser.parse_args(arguments)
    return run(lambda: _test(options.messages, options.model, options.data))


def _test(messages: Sequence[str], folder: Path, data: Path | None) -> None:
    model = SpamModel.load(folder)
    for message in messages:
        _say_verdict(model, message)
    if data is not None or not messages:
        _score(folder, model, load_corpus(data))


def _say_verdict(model: SpamModel, message: str) -> None:
    verdict = model.verdict(message)
    shown = textwrap.shorten(message, 70)
    reasons = ", ".join(f"{reason.term} {reason.weight:+.2f}" for reason in verdict.reasons)
    say(f"{verdict.label:<6} probability {verdict.spam_probability:.4f}  {shown!r}")
    say(f"       because of {reasons}")


def _score(folder: Path, model: SpamModel, corpus: Corpus) -> None:
    seen = set(read_model(folder, read_manifest(folder)).trained_on.tolist())
    unseen: Sequence[LabelledMessage] = [
        m for m in corpus.messages if fingerprint(m.text) not in seen
    ]
    if unseen:
        left_out = len(corpus.messages) - len(unseen)
        say(f"{len(unseen):,} messages are new to model {model.version} ({left_out:,} are not):")
    else:
        say(f"Model {model.version} has seen them all: training a twin on four fifths ...")
        model, unseen = _twin(model, corpus)
        say(f"{len(unseen):,} held-out messages, scored by the twin:")
    spam = [message.is_spam for message in unseen]
    scores = model.score(message.text for message in unseen)
    for title, threshold in (
        (f"SPAM from {model.thresholds.spam:.3f}", model.thresholds.spam),
        (f"SPAM or UNSURE from {model.thresholds.unsure:.3f}", model.thresholds.unsure),
        ("SPAM from 0.5", 0.5),
    ):
        say_figures(measure(spam, [score >= threshold for score in scores]), title)


def _twin(model: SpamModel, corpus: Corpus) -> tuple[SpamModel, Sequence[LabelledMessage]]:
    # here, as to score a message needs no scikit-learn, which takes a second to load
    from ml.features import fit, fold_pipeline  # noqa: PLC0415
    from ml.training import split  # noqa: PLC0415

    train, held_out = split(corpus)[0]
    folded = fold_pipeline(fit(train), train)
    return SpamModel(folded, model.thresholds, model.version), held_out


if __name__ == "__main__":
    sys.exit(main())
