import re
from pathlib import Path

import pytest

from ml.attacks import ATTACKS
from ml.corpus import Corpus, LabelledMessage
from ml.features import SpamClassifier
from ml.manifest import read_manifest
from ml.model_card import write_card
from ml.report import cross_validate_nested, measure_robustness, split_by_similarity


def test_near_duplicates_are_never_split_between_training_and_test():
    texts = [f"please call {n} to claim prize number {n % 7}" for n in range(20)]
    messages = [LabelledMessage(text, is_spam=True) for text in texts]
    messages += [LabelledMessage(f"ham of word{n} alone{n}", is_spam=False) for n in range(20)]

    for train, test in split_by_similarity(messages):
        sides = [sum(m.is_spam for m in side) for side in (train, test)]
        assert sides in ([0, 20], [20, 0])


def test_hyperparameters_are_chosen_without_the_scored_fold(corpus: Corpus):
    chosen = list(cross_validate_nested(corpus.messages, SpamClassifier()))

    assert sum(len(scored.is_spam) for _, scored in chosen) == len(corpus.messages)
    assert {each.C for each, _ in chosen} <= {30, 300}


def test_each_attack_is_measured_on_spam_and_ham(corpus: Corpus):
    rows = measure_robustness(corpus.messages, SpamClassifier(), 0.002)

    assert [row.attack for row in rows] == list(ATTACKS)
    assert all(0 <= row.recall <= 1 and 0 <= row.false_positive_rate <= 1 for row in rows)


@pytest.mark.slow
def test_the_card_has_data_metrics_and_limits_but_no_message(
    model_folder: Path, corpus: Corpus, tmp_path: Path
):
    said: list[str] = []

    write_card(tmp_path / "card.md", corpus, read_manifest(model_folder), said.append)

    card = (tmp_path / "card.md").read_text()
    assert "\n".join(said[:-1]) + "\n" == card
    for word in (corpus.sha256, "16 ham and 16 spam", "| F1 |", "| MCC |", "## Limits", "license"):
        assert word in card
    assert [m.text for m in corpus.messages if m.text in card] == []
    assert re.search(r"F1 is \d\.\d{4} and PR-AUC \d\.\d{4}\. The fixed values", card)
