"""Try the spam detector: `python -m ml.test_spam_detector [MESSAGE ...] [--data PATH] [--json]`.

Only messages that a model was not trained on tell how good it is, and the stored model was trained
on its whole corpus. So of labelled messages it scores those that are new to it. Where none is, as
with its own corpus, a twin stands in: the same recipe, thresholds and serving code, trained on
four fifths of them and scoring the last. The thresholds were chosen with scores of all fifths; only
the figures at 0.5 owe nothing to the last.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ml.artefact import read_model
from ml.channels import Channel
from ml.console import add_channel, load_corpus, run, say, say_figures
from ml.corpus import Corpus, LabelledMessage, fingerprint
from ml.figures import HALF, Figures, measure
from ml.inference import SpamModel
from ml.manifest import DEFAULT_MODELS, read_manifest
from ml.reading import DATA_HELP


@dataclass(frozen=True)
class Scores:
    """Hold what scoring labelled messages gave; `roc_auc` is None where one label is missing."""

    model: str
    data: str
    data_sha256: str
    duplicates: int
    seen_in_training: int
    scored_by_twin: bool
    ham: int
    spam: int
    roc_auc: float | None
    spam_threshold: float
    at_spam_threshold: Figures
    unsure_threshold: float
    at_unsure_threshold: Figures
    at_half: Figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ml.test_spam_detector",
        description="Score the model on messages, or on labelled ones that it has not seen.",
    )
    parser.add_argument("messages", nargs="*", metavar="MESSAGE", help="a text to classify")
    add_channel(parser)
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help=f"default: {DEFAULT_MODELS}/CHANNEL"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help=f"{DATA_HELP} (default without messages: the channel's corpus)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    found = parser.parse_args(arguments)
    if found.json and found.messages:
        parser.error("--json is for the figures of --data: leave out the messages")
    folder = found.model or DEFAULT_MODELS / found.channel
    return run(lambda: _test(found.messages, folder, found.channel, found.data, as_json=found.json))


def _test(
    messages: Sequence[str], folder: Path, channel: Channel, data: Path | None, *, as_json: bool
) -> None:
    model = SpamModel.load(folder, channel=channel)
    for message in messages:
        _say_verdict(model, message)
    if data is None and messages:
        return
    scores = score(folder, model, load_corpus(data, channel, quiet=as_json))
    if as_json:
        say(json.dumps(asdict(scores), indent=2))
    else:
        _say_scores(scores)


def score(folder: Path, model: SpamModel, corpus: Corpus) -> Scores:
    """Score the messages of a corpus that are new to a model, or part of them by a twin."""
    # here, as to score a message needs no scikit-learn, which takes a second to load
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    manifest, thresholds = read_manifest(folder), model.thresholds
    seen = set(read_model(folder, manifest).trained_on)
    unseen: Sequence[LabelledMessage] = [
        message for message in corpus.messages if fingerprint(message.text) not in seen
    ]
    known, is_twin = len(corpus.messages) - len(unseen), not unseen
    if is_twin:
        model, unseen = _twin(corpus, manifest.channel)
    labels = [message.is_spam for message in unseen]
    probabilities = model.probabilities(message.text for message in unseen)

    def figures(threshold: float) -> Figures:
        return measure(labels, [probability >= threshold for probability in probabilities])

    return Scores(
        model=manifest.version,
        data=corpus.path.name,
        data_sha256=corpus.sha256,
        duplicates=corpus.duplicates,
        seen_in_training=known,
        scored_by_twin=is_twin,
        ham=labels.count(False),
        spam=labels.count(True),
        roc_auc=float(roc_auc_score(labels, probabilities)) if len(set(labels)) > 1 else None,
        spam_threshold=thresholds.spam,
        at_spam_threshold=figures(thresholds.spam),
        unsure_threshold=thresholds.unsure,
        at_unsure_threshold=figures(thresholds.unsure),
        at_half=figures(HALF),
    )


def _twin(corpus: Corpus, channel: Channel) -> tuple[SpamModel, Sequence[LabelledMessage]]:
    from ml.features import SpamClassifier  # noqa: PLC0415
    from ml.training import split, train_model  # noqa: PLC0415

    corpus.require_learnable()
    train, held_out = split(corpus.messages)[0]
    return train_model(train, SpamClassifier(channel)), held_out


def _say_verdict(model: SpamModel, message: str) -> None:
    verdict = model.verdict(message)
    shown = textwrap.shorten(message, 70)
    reasons = ", ".join(f"{reason.term} {reason.weight:+.2f}" for reason in verdict.reasons)
    say(f"{verdict.label:<6} probability {verdict.spam_probability:.4f}  {shown!r}")
    say(f"       because of {reasons}")
    if verdict.out_of_domain:
        say("       far from what the model was trained on: this means little")


def _say_scores(scores: Scores) -> None:
    if scores.scored_by_twin:
        say(f"Model {scores.model} has seen them all. A twin, trained on four fifths, scored")
        say(f"the other fifth: {scores.ham:,} ham and {scores.spam:,} spam.")
    else:
        say(f"{scores.ham:,} ham and {scores.spam:,} spam are new to model {scores.model}")
        say(f"({scores.seen_in_training:,} are not, and were left out):")
    auc = "undefined" if scores.roc_auc is None else f"{scores.roc_auc:.4f}"
    say(f"  ROC-AUC {auc}")
    say_figures(scores.at_spam_threshold, f"SPAM from {scores.spam_threshold:.3f}")
    say_figures(scores.at_unsure_threshold, f"SPAM or UNSURE from {scores.unsure_threshold:.3f}")
    say_figures(scores.at_half, "SPAM from 0.5")


if __name__ == "__main__":
    sys.exit(main())
