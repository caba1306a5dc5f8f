"""Own what the two commands share: where messages come from, how they speak and how they fail."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ml.channels import Channel
from ml.corpus import Corpus
from ml.download import DEFAULT_CACHE, SOURCES, cached_corpus, fetch_corpus
from ml.errors import MlError
from ml.figures import Figures
from ml.reading import read_corpus


def run(command: Callable[[], None]) -> int:
    """Run a command's body.

    Returns:
        Its exit code: 0, 1 after one sentence on standard error, or 130 after Ctrl-C.
    """
    try:
        command()
    except MlError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a disk without space behind standard output
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Write a line at once: whoever waits sees how far it is."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def say_figures(figures: Figures, title: str) -> None:
    """Write figures of merit as one line, and the confusion table below."""
    say(
        f"  {title:<44} precision {figures.precision:.3f}  recall {figures.recall:.3f}  "
        f"F1 {figures.f1:.3f}  MCC {figures.mcc:.3f}  "
        f"false positives {figures.false_positive_rate:.2%}"
    )
    say(
        f"    ham: {figures.true_negatives:,} let through, {figures.false_positives:,} caught"
        f"    spam: {figures.false_negatives:,} let through, {figures.true_positives:,} caught"
    )


def load_corpus(data: Path | None, channel: Channel, *, quiet: bool = False) -> Corpus:
    """Read labelled messages, by default the channel's corpus, which is fetched the first time.

    Raises:
        BadCorpus: they cannot be used.
        CorpusUnavailable: there is no way to fetch the corpus.
    """
    source = SOURCES[channel]
    if data is None:
        data = cached_corpus(source, DEFAULT_CACHE)
    if data is None:
        sys.stderr.write(f"Fetching {source.title} ...\n")
        data = fetch_corpus(source, DEFAULT_CACHE)
    corpus = read_corpus(data)
    if not quiet:
        say(
            f"Corpus {corpus.path.name}: {corpus.ham:,} ham and {corpus.spam:,} spam, "
            f"{corpus.duplicates:,} duplicates left out"
        )
    return corpus


def add_channel(parser: argparse.ArgumentParser) -> None:
    """Have a command ask for the channel."""
    parser.add_argument(
        "--channel",
        type=Channel,
        choices=list(Channel),
        default=Channel.SMS,
        help="what the messages are (default: %(default)s)",
    )
