"""Own `python -m ml.test_spam_detector`, which classifies messages and measures a stored model.

Only messages that a model was not trained on show how good it is, and a stored model was trained on
its whole corpus. So the command scores only the labeled messages that are new to the model. If
there are none, as with its own corpus, it trains a twin on four fifths of the messages, with the
same settings, thresholds and serving code, and scores the last fifth. The thresholds were chosen
with the scores of all fifths, so only the metrics at 0.5 are independent of the last one.
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
from ml.console import add_channel, load_corpus, run, say, say_metrics
from ml.corpus import Corpus, LabelledMessage, fingerprint
from ml.figures import HALF, Metrics, measure
from ml.inference import SpamModel
from ml.manifest import DEFAULT_MODELS, read_manifest
from ml.reading import DATA_HELP


@dataclass(frozen=True)
class Scores:
    """Hold the results on labeled messages; `roc_auc` is None if all have the same label."""

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
    at_spam_threshold: Metrics
    unsure_threshold: float
    at_unsure_threshold: Metrics
    at_half: Metrics


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    found = parser.parse_args(arguments)
    if found.json and found.messages:
        parser.error("--json prints the metrics of --data; it does not accept messages")
    folder = found.model or DEFAULT_MODELS / found.channel
    return run(lambda: _test(found.messages, folder, found.channel, found.data, as_json=found.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml.test_spam_detector",
        description="Classify messages, or measure the model on labeled messages new to it.",
    )
    parser.add_argument("messages", nargs="*", metavar="MESSAGE", help="a text to classify")
    add_channel(parser)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help=f"the model folder (default: {DEFAULT_MODELS}/CHANNEL)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help=f"{DATA_HELP} (default if there is no MESSAGE: the channel's corpus)",
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    return parser


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
    """Measure a model on the messages of a corpus that are new to it, or its twin on a fifth."""
    manifest, thresholds = read_manifest(folder), model.thresholds
    new = _without(corpus.messages, read_model(folder, manifest).trained_on)
    seen_in_training = len(corpus.messages) - len(new)
    needs_twin = not new
    if needs_twin:
        model, new = _train_twin(corpus, manifest.channel)
    labels = [message.is_spam for message in new]
    probabilities = model.probabilities(message.text for message in new)

    def metrics(threshold: float) -> Metrics:
        return measure(labels, [probability >= threshold for probability in probabilities])

    return Scores(
        model=manifest.version,
        data=corpus.path.name,
        data_sha256=corpus.sha256,
        duplicates=corpus.duplicates,
        seen_in_training=seen_in_training,
        scored_by_twin=needs_twin,
        ham=labels.count(False),
        spam=labels.count(True),
        roc_auc=_roc_auc(labels, probabilities),
        spam_threshold=thresholds.spam,
        at_spam_threshold=metrics(thresholds.spam),
        unsure_threshold=thresholds.unsure,
        at_unsure_threshold=metrics(thresholds.unsure),
        at_half=metrics(HALF),
    )


def _without(
    messages: Sequence[LabelledMessage], fingerprints: Sequence[int]
) -> Sequence[LabelledMessage]:
    known = set(fingerprints)
    return [message for message in messages if fingerprint(message.text) not in known]


def _roc_auc(labels: Sequence[bool], probabilities: Sequence[float]) -> float | None:
    # imported here, because classifying a message needs no scikit-learn, which takes 1 s to load
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    return float(roc_auc_score(labels, probabilities)) if len(set(labels)) > 1 else None


def _train_twin(corpus: Corpus, channel: Channel) -> tuple[SpamModel, Sequence[LabelledMessage]]:
    """Return a model trained on four fifths of a corpus, and the messages of the last fifth."""
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
    say(f"       reasons: {reasons}")
    if verdict.out_of_domain:
        say("       out of domain: unlike the training messages, so the probability is unreliable")


def _say_scores(scores: Scores) -> None:
    if scores.scored_by_twin:
        say(f"Model {scores.model} was trained on all of these messages. A twin, trained on four")
        say(f"fifths of them, scored the rest: {scores.ham:,} ham and {scores.spam:,} spam.")
    else:
        say(f"{scores.ham:,} ham and {scores.spam:,} spam are new to model {scores.model}")
        say(f"({scores.seen_in_training:,} messages that it was trained on are left out):")
    auc = "undefined" if scores.roc_auc is None else f"{scores.roc_auc:.4f}"
    say(f"  ROC-AUC {auc}")
    say_metrics(scores.at_spam_threshold, f"SPAM from {scores.spam_threshold:.3f}")
    say_metrics(scores.at_unsure_threshold, f"SPAM or UNSURE from {scores.unsure_threshold:.3f}")
    say_metrics(scores.at_half, "SPAM from 0.5")


if __name__ == "__main__":
    sys.exit(main())
