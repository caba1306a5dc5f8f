import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.figures import (
    Metrics,
    Thresholds,
    calibration_error,
    false_positives_at_recall,
    measure,
    threshold_for,
)

SCORES = st.lists(st.floats(0.001, 0.999), min_size=1)


def test_metrics_match_the_textbook_formulas():
    is_spam = [True] * 4 + [False] * 6
    predicted = [True] * 3 + [False] + [True] + [False] * 5

    assert measure(is_spam, predicted) == Metrics(
        true_positives=3,
        false_positives=1,
        false_negatives=1,
        true_negatives=5,
        precision=0.75,
        recall=0.75,
        f1=0.75,
        mcc=14 / 24,
        false_positive_rate=1 / 6,
    )


def test_metrics_with_a_zero_denominator_are_zero():
    assert measure([], []) == Metrics(0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_the_threshold_is_midway_between_ham_below_and_the_next_score():
    is_spam = [False, False, False, False, True, True]
    scores = [0.1, 0.1, 0.2, 0.8, 0.4, 0.9]

    assert threshold_for(is_spam, scores, false_positive_rate=0.25) == pytest.approx(0.3)


def test_the_threshold_above_the_highest_score_is_below_one():
    assert threshold_for([True, False], [0.1, 0.9], false_positive_rate=0) == pytest.approx(0.95)


@given(ham=SCORES, spam=SCORES, rate=st.floats(0, 0.5))
def test_at_most_the_given_share_of_ham_reaches_the_threshold(
    ham: list[float], spam: list[float], rate: float
):
    is_spam = [False] * len(ham) + [True] * len(spam)

    threshold = threshold_for(is_spam, ham + spam, rate)

    assert sum(score > threshold for score in ham) <= rate * len(ham) + 1e-9  # rounding


@pytest.mark.parametrize(("unsure", "spam"), [(0.6, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_thresholds_out_of_order_are_refused(unsure: float, spam: float):
    with pytest.raises(ValueError, match=f"thresholds must be .*, not {unsure} and {spam}"):
        Thresholds(unsure, spam, unknown=0.5)


def test_equal_thresholds_leave_nothing_unsure():
    thresholds = Thresholds(unsure=0.5, spam=0.5, unknown=0.5)

    assert (thresholds.unsure, thresholds.spam, thresholds.unknown) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("recall", "share"), [(1, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0)])
def test_higher_recall_costs_more_false_positives(recall: float, share: float):
    is_spam = [True, True, True, True, False, False, False, False]
    scores = [0.9, 0.2, 0.7, 0.6, 0.1, 0.8, 0.3, 0.65]

    assert false_positives_at_recall(is_spam, scores, recall) == share


def test_ham_that_ties_with_the_last_spam_is_a_false_positive():
    assert false_positives_at_recall([True, False, False], [0.5, 0.5, 0.4], recall=1) == 0.5


def test_without_ham_there_are_no_false_positives():
    assert false_positives_at_recall([True, True], [0.5, 0.6], recall=1) == 0


@given(ham=SCORES, spam=SCORES)
def test_perfectly_separated_scores_have_no_false_positives(ham: list[float], spam: list[float]):
    is_spam = [False] * len(ham) + [True] * len(spam)
    scores = [score - 1 for score in ham] + spam

    assert false_positives_at_recall(is_spam, scores, recall=0.95) == 0


def test_calibrated_probabilities_have_no_calibration_error():
    is_spam = [True, False, False, False, True, True, True, False]

    assert calibration_error(is_spam, [0.25] * 4 + [0.75] * 4) == 0


def test_the_calibration_error_averages_the_distance_in_each_bin():
    is_spam = [True, False, False, False]

    error = calibration_error(is_spam, [0.92, 0.98, 0.15, 0.15])

    assert error == pytest.approx((0.9 + 0.3) / 4)


def test_errors_of_different_bins_do_not_cancel_out():
    assert calibration_error([True, False], [0.2, 0.8]) == pytest.approx(0.8)


@pytest.mark.parametrize(("is_spam", "error"), [([True, False], 0.0), ([False, True], 1.0)])
def test_probabilities_of_zero_and_one_fall_into_a_bin(is_spam: list[bool], error: float):
    assert calibration_error(is_spam, [1.0, 0.0]) == error


def test_no_probabilities_have_no_calibration_error():
    assert calibration_error([], []) == 0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1))))
def test_the_calibration_error_is_between_zero_and_one(pairs: list[tuple[bool, float]]):
    error = calibration_error([label for label, _ in pairs], [share for _, share in pairs])

    assert 0 <= error <= 1
