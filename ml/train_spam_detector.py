"""Train the spam detector: `python -m ml.train_spam_detector [--data FILE] [--out DIR]`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ml.artefact import DEFAULT_MODEL
from ml.console import DATA_HELP, load_corpus, run, say, say_figures
from ml.training import FOLDS, SPAM_RATE, UNSURE_RATE, assess, cross_validate, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ml.train_spam_detector",
        description="Judge the recipe by cross-validation, train on all messages, store the model.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help=f"{DATA_HELP} (default: the SMS Spam Collection, fetched once)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=DEFAULT_MODEL, help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    return run(lambda: _train(options.data, options.out))


def _train(data: Path | None, out: Path) -> None:
    started = time.monotonic()
    corpus = load_corpus(data)
    folds = []
    for fold in cross_validate(corpus):
        folds.append(fold)
        say(f"Cross-validation: {len(folds)} of {FOLDS} folds scored")
    assessment = assess(folds)
    say("Messages that the model had not seen:")
    say_figures(assessment.at_spam_threshold, f"SPAM, chosen for {SPAM_RATE:.1%} false positives")
    say_figures(assessment.at_half, "SPAM from probability 0.5")
    say("Training on all messages ...")
    manifest = train(corpus, assessment, out)
    spam, unsure = manifest.thresholds.spam, manifest.thresholds.unsure
    say(f"SPAM from probability {spam:.3f} ({SPAM_RATE:.1%} of ham reached it in cross-validation)")
    say(f"UNSURE from probability {unsure:.3f} ({UNSURE_RATE:.1%})")
    say(f"Model {manifest.version} written to {out} after {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
