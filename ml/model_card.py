"""Write the model card of a channel in Markdown from what `report.py` measures.

A card quotes no message of a corpus. Source of its structure: Mitchell et al. 2019, Model Cards for
Model Reporting.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean, stdev

from ml.channels import Channel
from ml.corpus import Corpus
from ml.download import SOURCES
from ml.features import SpamClassifier
from ml.files import write_atomically
from ml.manifest import Manifest
from ml.reading import read_messages
from ml.report import (
    PUBLISHED_FOLDS,
    Quality,
    Robustness,
    cross_validate_nested,
    evaluate,
    measure_robustness,
    split_by_similarity,
)
from ml.training import FOLDS, Messages, Split, cross_validate, split

DOCS = Path(__file__).resolve().parent.parent / "docs"
CARDS = {Channel.SMS: DOCS / "model-card.md", Channel.EMAIL: DOCS / "model-card-email.md"}
MIN_FOR_REPORT = 50  # messages of each label: ten in a fold
REPEATS = {Channel.SMS: 10, Channel.EMAIL: 1}  # one cross-validation takes 5 s and 2 minutes

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
    """Measure a model, and print and write its model card.

    Raises:
        CannotWrite: the file cannot be written.
    """
    lines = []
    for line in _card(corpus, manifest):
        say(line)
        lines.append(line)
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    say(f"Written to {path}")


def _card(corpus: Corpus, manifest: Manifest) -> Iterator[str]:
    yield from _about(corpus, manifest)
    channel, rate = manifest.channel, manifest.training.false_positive_rate
    classifier = SpamClassifier(channel)

    def quality(splits: Sequence[Split]) -> Quality:
        return evaluate(list(cross_validate(splits, classifier)), rate)

    repeats = [quality(split(corpus.messages, seed=seed)) for seed in range(REPEATS[channel])]
    with_duplicates = quality(split(read_messages(corpus.path), PUBLISHED_FOLDS))
    by_similarity = quality(split_by_similarity(corpus.messages))
    columns = [
        (f"{FOLDS}-fold x {len(repeats)}, no duplicates", repeats),
        (f"{PUBLISHED_FOLDS}-fold, duplicates kept", [with_duplicates]),
        (f"{FOLDS}-fold, near-duplicates together", [by_similarity]),
    ]
    yield from _figures(columns, rate)
    if channel is Channel.SMS:
        yield from _choice(corpus.messages, classifier, rate, repeats[0])
    yield from _robustness(measure_robustness(corpus.messages, classifier, rate), rate)


def _about(corpus: Corpus, manifest: Manifest) -> Iterator[str]:
    training, thresholds = manifest.training, manifest.thresholds
    is_default = corpus.sha256 == SOURCES[manifest.channel].digest
    licence = SOURCES[manifest.channel].licence if is_default else "unknown: not a default corpus"
    libraries = ", ".join(f"{name} {version}" for name, version in training.libraries.items())
    yield f"""\
# Spam detector for {manifest.channel.value}: model card

Written by `python -m ml.train_spam_detector --channel {manifest.channel.value} --report`.

| | |
|---|---|
| model | version `{manifest.version}` |
| type | logistic regression over words, word pairs and fragments of words |
| trained | {training.trained_at}, with {libraries} |
| training data | `{training.corpus}`, SHA-256 `{training.corpus_sha256}` |
| license of the data | {licence} |
| messages | {corpus.ham:,} ham and {corpus.spam:,} spam; {corpus.duplicates:,} duplicates removed |
| SPAM | from probability {thresholds.spam:.4f} ({training.false_positive_rate:.2%} of ham) |
| UNSURE | from probability {thresholds.unsure:.4f} |
| out of domain | from a share of {thresholds.unknown:.2f} unknown terms (1 % of messages) |

## Intended use

Classify {_USES[manifest.channel]} A verdict is a
probability with reasons, not a proof. A person should look at UNSURE messages. The probability of
a message that is out of domain is unreliable.
"""


def _figures(columns: Sequence[tuple[str, Sequence[Quality]]], rate: float) -> Iterator[str]:
    yield f"""\
## Metrics

All metrics are measured on messages that the model was not trained on. The SPAM threshold of a fold
is the one that labels {rate:.2%} of the ham in the other folds SPAM. Duplicates, which differ only
in case, width and punctuation, are removed before the data is split. Two columns differ:

- The second keeps duplicates, as much published work does. Some test messages are then also
  training messages.
- In the third, no message has a near-duplicate (word cosine of 0.7 or more) in another fold.
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
    chosen = list(cross_validate_nested(messages, classifier))
    nested = evaluate([scored for _, scored in chosen], rate)
    recipes = ", ".join(f"C = {each.C:g} and {each.words_weight:g}" for each, _ in chosen)
    yield f"""\
## Hyperparameters were chosen on the same data

The hyperparameters were chosen by cross-validation on these messages, so the metrics above are
optimistic. If C (30 or 300) and the weight of words (1, 2 or 3) are chosen for each fold on the
other folds alone, F1 is {nested.f1:.4f} and PR-AUC {nested.average_precision:.4f}. The fixed values
give {fixed.f1:.4f} and {fixed.average_precision:.4f} on the same folds. The choices by fold were
{recipes}.

A person who saw such metrics also chose the types of terms, the windows and the disguises to undo.
Only messages from another source can show how much that flatters the model.
"""


def _robustness(rows: Sequence[Robustness], rate: float) -> Iterator[str]:
    yield f"""\
## Disguises

The spam and the ham of each fold are disguised in the same way. A model trained on the other folds,
without disguises, scores them at the threshold that labels {rate:.2%} of the other folds' ham SPAM.
The homoglyphs come from the look-alikes that the model knows; it does not undo others.

| | recall | false positives |
|---|---|---|"""
    for row in rows:
        yield f"| {row.attack} | {row.recall:.3f} | {row.false_positive_rate:.2%} |"
    yield f"""
## Limits

{_LIMITS}"""


_USES = {
    Channel.SMS: "text messages in English that people receive on their phones.",
    Channel.EMAIL: "e-mails in English by their subject and text.",
}
_LIMITS = """\
- The training messages are in English, from the years 2000 to 2011. The SMS ham is largely from
  students in Singapore and Britain. The e-mail ham is largely from programmers' mailing lists,
  which are easy to distinguish from spam. Expect worse results on other messages, and train on your
  own with `--data`.
- Spam changes. Parcels, banks and investments were not its subjects then. The model still finds
  such spam by what has not changed: links, phone numbers, urgency. It misses most spam without any
  of these (`Hi Mum, my new number is ...`).
- Text in other languages is flagged as out of domain. A short foreign text may not be flagged.
- A model works for one channel only.
- If every word of a text is spaced out, the model recognizes no word. It then labels more SMS ham
  SPAM, and finds less of the spam in e-mails.
- Probabilities between 0.1 and 0.9 are too low; few messages have one."""
