"""Own what the training and test commands share: loading a corpus, output and exit codes."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ml.channels import Channel
from ml.corpus import Corpus
from ml.download import DEFAULT_CACHE, SOURCES, cached_corpus, fetch_corpus
from ml.errors import MlError
from ml.figures import Metrics
from ml.reading import read_corpus


def run(command: Callable[[], None]) -> int:
    """Run the body of a command.

    Returns:
        Exit code 0, 1 after one sentence on standard error, or 130 after Ctrl-C.
    """
    try:
        command()
    except MlError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # for example, standard output goes to a full disk
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Write a line and flush it, so that progress shows at once."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def say_metrics(metrics: Metrics, title: str) -> None:
    """Write metrics as one line, followed by the confusion table."""
    say(
        f"  {title:<44} precision {metrics.precision:.3f}  recall {metrics.recall:.3f}  "
        f"F1 {metrics.f1:.3f}  MCC {metrics.mcc:.3f}  "
        f"false positives {metrics.false_positive_rate:.2%}"
    )
    say(
        f"    ham: {metrics.true_negatives:,} let through, {metrics.false_positives:,} caught"
        f"    spam: {metrics.false_negatives:,} let through, {metrics.true_positives:,} caught"
    )


def load_corpus(data: Path | None, channel: Channel, *, quiet: bool = False) -> Corpus:
    """Read labeled messages.

    Args:
        data: the file or folder to read; None reads the channel's default corpus, which is
            downloaded on first use.
        channel: selects the default corpus.
        quiet: whether to leave out the line with the counts.

    Raises:
        BadCorpus: the messages cannot be used.
        CorpusUnavailable: the default corpus cannot be downloaded.
    """
    source = SOURCES[channel]
    if data is None:
        data = cached_corpus(source, DEFAULT_CACHE)
    if data is None:
        sys.stderr.write(f"Downloading {source.title} ...\n")
        data = fetch_corpus(source, DEFAULT_CACHE)
    corpus = read_corpus(data)
    if not quiet:
        say(
            f"Corpus {corpus.path.name}: {corpus.ham:,} ham and {corpus.spam:,} spam, "
            f"{corpus.duplicates:,} duplicates removed"
        )
    return corpus


def add_channel(parser: argparse.ArgumentParser) -> None:
    """Add the `--channel` option to a command."""
    parser.add_argument(
        "--channel",
        type=Channel,
        choices=list(Channel),
        default=Channel.SMS,
        help="the kind of messages (default: %(default)s)",
    )
