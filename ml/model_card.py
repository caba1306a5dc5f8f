"""Word what `report.py` measures as a model card, in Markdown; no message of a corpus is in it.

Source: Mitchell et al. 2019, Model Cards for Model Reporting, for what a card has to say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean, stdev

from ml.channels import Channel
from ml.corpus import Corpus
from ml.download import SOURCES
from ml.features import SpamClassifier
from ml.files import write_whole
from ml.manifest import Manifest
from ml.reading import read_messages
from ml.report import (
    PUBLISHED_FOLDS,
    Quality,
    Robustness,
    attack,
    choose_and_score,
    judge,
    split_by_likeness,
)
from ml.training import FOLDS, Messages, Split, cross_validate, split

DOCS = Path(__file__).resolve().parent.parent / "docs"
CARDS = {Channel.SMS: DOCS / "model-card.md", Channel.EMAIL: DOCS / "model-card-email.md"}
MIN_FOR_REPORT = 50  # of each label: ten in a fold
REPEATS = {Channel.SMS: 10, Channel.EMAIL: 1}  # of a cross-validation that takes 5 s and 2 minutes

_NAMES = {
    "f1": "F1",
    "mcc": "MCC",
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false positives",
    "average_precision": "PR-AUC (average precision)",
    "false_positive_rate_at_95_recall": "false positives at 95 % recall",
    "calibration_error": "ECE, ten bins",
    "f1_at_half": "F1 at probability 0.5",
}


def write_card(path: Path, corpus: Corpus, manifest: Manifest, say: Callable[[str], None]) -> None:
    """Measure, tell and write the model card of a channel.

    Raises:
        CannotWrite: the file cannot be written.
    """
    lines = []
    for line in _card(corpus, manifest):
        say(line)
        lines.append(line)
    write_whole(path, ("\n".join(lines) + "\n").encode())
    say(f"Written to {path}")


def _card(corpus: Corpus, manifest: Manifest) -> Iterator[str]:
    yield from _about(corpus, manifest)
    channel, rate = manifest.channel, manifest.training.false_positive_rate
    classifier = SpamClassifier(channel)

    def quality(splits: Sequence[Split]) -> Quality:
        return judge(list(cross_validate(splits, classifier)), rate)

    repeats = [quality(split(corpus.messages, seed=seed)) for seed in range(REPEATS[channel])]
    with_duplicates = quality(split(read_messages(corpus.path), PUBLISHED_FOLDS))
    by_likeness = quality(split_by_likeness(corpus.messages))
    columns = [
        (f"{FOLDS}-fold x {len(repeats)}, no duplicates", repeats),
        (f"{PUBLISHED_FOLDS}-fold, duplicates kept", [with_duplicates]),
        (f"{FOLDS}-fold by likeness", [by_likeness]),
    ]
    yield from _figures(columns, rate)
    if channel is Channel.SMS:
        yield from _choice(corpus.messages, classifier, rate, repeats[0])
    yield from _robustness(attack(corpus.messages, classifier, rate), rate)


def _about(corpus: Corpus, manifest: Manifest) -> Iterator[str]:
    training, thresholds = manifest.training, manifest.thresholds
    is_default = corpus.sha256 == SOURCES[manifest.channel].digest
    licence = SOURCES[manifest.channel].licence if is_default else "that of whoever gave the file"
    libraries = ", ".join(f"{name} {version}" for name, version in training.libraries.items())
    yield f"""\
# Spam detector for {manifest.channel.value}: model card

Written by `python -m ml.train_spam_detector --channel {manifest.channel.value} --report`.

| | |
|---|---|
| model | version `{manifest.version}` |
| kind | logistic regression over words, pairs of words and fragments of words |
| trained | {training.trained_at}, with {libraries} |
| data | `{training.corpus}`, SHA-256 `{training.corpus_sha256}` |
| licence of the data | {licence} |
| messages | {corpus.ham:,} ham and {corpus.spam:,} spam, after {corpus.duplicates:,} duplicates |
| SPAM | from probability {thresholds.spam:.4f} ({training.false_positive_rate:.2%} of ham) |
| UNSURE | from probability {thresholds.unsure:.4f} |
| out of domain | from a share of {thresholds.unknown:.2f} unknown terms (1 % of messages) |

## What it is for

To sort {_USES[manifest.channel]} A verdict is a
probability with its reasons, not a proof: an UNSURE message should go to a person, and a message
that is out of domain says that the probability means little.
"""


def _figures(columns: Sequence[tuple[str, Sequence[Quality]]], rate: float) -> Iterator[str]:
    yield f"""\
## Figures

All are of messages that the model had not seen. The threshold of SPAM is the one at which
{rate:.2%} of the ham of the other folds would be called SPAM. Duplicates, alike but for case,
width and punctuation, are removed before the data is parted, but for the second column, which
repeats the protocol of much published work: there a model is partly tested on what it has learnt
by heart. In the third no message has a near-duplicate (cosine of words 0.7) in another fold.
"""
    yield "| | " + " | ".join(name for name, _ in columns) + " |"
    yield "|---" * (1 + len(columns)) + "|"
    for field in fields(Quality):
        values = [[getattr(each, field.name) for each in column] for _, column in columns]
        yield f"| {_NAMES[field.name]} | " + " | ".join(map(_number, values)) + " |"
    yield ""


def _number(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _choice(
    messages: Messages, classifier: SpamClassifier, rate: float, fixed: Quality
) -> Iterator[str]:
    chosen = list(choose_and_score(messages, classifier))
    nested = judge([scored for _, scored in chosen], rate)
    recipes = ", ".join(f"C = {each.C:g} and {each.words_weight:g}" for each, _ in chosen)
    yield f"""\
## How far the choice of the model saw the data

The recipe was chosen by cross-validation on these very messages, so its figures flatter it. Where
C (30 or 300) and the weight of words (1, 2 or 3) are chosen anew for each fold, by the other folds
alone, F1 is {nested.f1:.4f} and PR-AUC {nested.average_precision:.4f}; with the recipe as it stands
{fixed.f1:.4f} and {fixed.average_precision:.4f} on the same folds. Chosen were, by fold, {recipes}.
The kinds of terms, the windows and the disguises that are removed were chosen by a person who saw
such figures too; what that is worth, only messages of another origin can tell.
"""


def _robustness(rows: Sequence[Robustness], rate: float) -> Iterator[str]:
    yield f"""\
## Disguises

Spam and ham of each fold, disguised alike, scored by a model of the other folds that saw none
disguised, at the threshold at which {rate:.2%} of the others' ham, as it was sent, is called SPAM.
The look-alikes are some that the table of them holds: what it does not hold is not undone.

| | recall | false positives |
|---|---|---|"""
    for row in rows:
        yield f"| {row.attack} | {row.recall:.3f} | {row.false_positive_rate:.2%} |"
    yield f"""
## Limits

{_LIMITS}"""


_USES = {
    Channel.SMS: "text messages in English that reach people on their phones.",
    Channel.EMAIL: "e-mails in English, of which it reads the subject and the text.",
}
_LIMITS = """\
- The messages are of the years 2000 to 2011, in English, the ham of SMS largely from students in
  Singapore and Britain, that of e-mail largely from mailing lists of programmers, which are easy
  to tell from spam. Expect less on other people's messages: train with `--data` on your own.
- Spam changes. Parcels, banks and investments were not its subjects then; it is found by what has
  stayed: links, numbers to call, urgency. A lie without any of these (`Hi Mum, my new number is
  ...`) is mostly missed.
- Other languages are flagged as out of domain, not judged. A short foreign text may not be.
- A model of one channel is of no use in another.
- A text in which each single word is spaced out leaves no word whole: more ham that is written so
  is called SPAM, as the table says.
- Probabilities between 0.1 and 0.9 are too low; few messages have one."""
