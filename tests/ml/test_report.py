import re
from pathlib import Path

import pytest

from ml.attacks import ATTACKS
from ml.corpus import Corpus, LabelledMessage
from ml.features import SpamClassifier
from ml.manifest import read_manifest
from ml.model_card import write_card
from ml.report import attack, choose_and_score, split_by_likeness


def test_near_duplicates_are_never_on_both_sides():
    texts = [f"please call {n} to claim prize number {n % 7}" for n in range(20)]
    messages = [LabelledMessage(text, is_spam=True) for text in texts]
    messages += [LabelledMessage(f"ham of word{n} alone{n}", is_spam=False) for n in range(20)]

    for train, test in split_by_likeness(messages):
        sides = [sum(m.is_spam for m in side) for side in (train, test)]
        assert sides in ([0, 20], [20, 0])


def test_the_recipe_is_chosen_without_the_fold_that_judges_it(corpus: Corpus):
    chosen = list(choose_and_score(corpus.messages, SpamClassifier()))

    assert sum(len(scored.is_spam) for _, scored in chosen) == len(corpus.messages)
    assert {each.C for each, _ in chosen} <= {30, 300}


def test_each_disguise_is_measured_on_spam_and_on_ham(corpus: Corpus):
    rows = attack(corpus.messages, SpamClassifier(), 0.002)

    assert [row.attack for row in rows] == list(ATTACKS)
    assert all(0 <= row.recall <= 1 and 0 <= row.false_positive_rate <= 1 for row in rows)


@pytest.mark.slow
def test_the_card_tells_the_data_the_figures_and_the_limits_and_no_message(
    model_folder: Path, corpus: Corpus, tmp_path: Path
):
    said: list[str] = []

    write_card(tmp_path / "card.md", corpus, read_manifest(model_folder), said.append)

    card = (tmp_path / "card.md").read_text()
    assert "\n".join(said[:-1]) + "\n" == card
    for word in (corpus.sha256, "16 ham and 16 spam", "| F1 |", "| MCC |", "## Limits", "licence"):
        assert word in card
    assert [m.text for m in corpus.messages if m.text in card] == []
    assert re.search(r"F1 is \d\.\d{4} and PR-AUC \d\.\d{4}; with the recipe as it stands", card)
