from random import Random

import pytest

from ml.attacks import ATTACKS
from ml.disguise import undisguise
from ml.normalise import views

MESSAGE = "Call now and win the prize of 500 pounds"
HAM = ["Lunch?", "See you", "Hi mum"]
DISGUISES = [name for name in ATTACKS if "ham" not in name and "typos" not in name]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_reproducible(name: str):
    assert ATTACKS[name](MESSAGE, Random(1), HAM) == ATTACKS[name](MESSAGE, Random(1), HAM)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "as sent"])
def test_an_attack_changes_the_message(name: str):
    assert ATTACKS[name](MESSAGE, Random(1), HAM) != MESSAGE


@pytest.mark.parametrize("name", DISGUISES)
def test_disguises_of_an_attack_are_undone(name: str):
    read = views(undisguise(ATTACKS[name]("Call now and win the prize", Random(1), HAM)).text)

    undone = read.characters.replace(" ", "")
    assert undone.replace("l", "i") == "caiinowandwintheprize"  # `1` can stand for `l` and `i`
