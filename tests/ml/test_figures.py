import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.figures import Figures, Thresholds, measure, threshold_for

SCORES = st.lists(st.floats(0.001, 0.999), min_size=1)


def test_figures_are_those_of_the_textbook():
    is_spam = [True] * 4 + [False] * 6
    predicted = [True] * 3 + [False] + [True] + [False] * 5

    assert measure(is_spam, predicted) == Figures(
        precision=0.75, recall=0.75, f1=0.75, mcc=14 / 24, false_positive_rate=1 / 6
    )


def test_figures_without_a_base_are_zero():
    assert measure([], []) == Figures(0, 0, 0, 0, 0)


def test_the_threshold_lies_halfway_above_the_ham_that_must_stay_below():
    is_spam = [False, False, False, False, True, True]
    scores = [0.1, 0.1, 0.2, 0.8, 0.4, 0.9]

    assert threshold_for(is_spam, scores, false_positive_rate=0.25) == pytest.approx(0.3)


def test_the_threshold_of_ham_that_scores_highest_lies_below_one():
    assert threshold_for([True, False], [0.1, 0.9], false_positive_rate=0) == pytest.approx(0.95)


@given(ham=SCORES, spam=SCORES, rate=st.floats(0, 0.5))
def test_no_larger_share_of_the_ham_reaches_the_threshold(
    ham: list[float], spam: list[float], rate: float
):
    is_spam = [False] * len(ham) + [True] * len(spam)

    threshold = threshold_for(is_spam, ham + spam, rate)

    assert sum(score > threshold for score in ham) <= rate * len(ham)


@pytest.mark.parametrize(("unsure", "spam"), [(0.6, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_thresholds_out_of_order_are_refused(unsure: float, spam: float):
    with pytest.raises(ValueError, match="out of order"):
        Thresholds(unsure, spam)
