import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.worlds.ml_engineering.metrics import KINDS, Metric

CLASSES = np.array([0, 0, 1, 1])
NUMBERS = np.array([1.0, 2.0, 3.0, 6.0])


def of_two(*second: float) -> np.ndarray:
    return np.stack([1 - np.array(second), np.array(second)], 1)


@pytest.mark.parametrize(
    ("metric", "truth", "predicted", "score"),
    [
        # Of four pairs of one of each class, three are in order.
        (Metric.ROC_AUC, CLASSES, of_two(0.1, 0.6, 0.5, 0.9), 0.75),
        (Metric.ROC_AUC, CLASSES, of_two(0.5, 0.5, 0.5, 0.5), 0.5),
        (Metric.LOG_LOSS, CLASSES, of_two(0.1, 0.5, 0.5, 0.8), -(math.log(0.9 * 0.5 * 0.5 * 0.8)) / 4),
        (Metric.LOG_LOSS, np.array([0, 2]), np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), math.log(8) / 2),
        (Metric.ACCURACY, CLASSES, of_two(0.1, 0.6, 0.7, 0.9), 0.75),
        (Metric.RMSE, NUMBERS, np.array([1.0, 2.0, 3.0, 2.0]), 2.0),
        (Metric.MAE, NUMBERS, np.array([1.0, 3.0, 2.0, 2.0]), 1.5),
    ],
)
def test_scores_by_hand(metric: Metric, truth: np.ndarray, predicted: np.ndarray, score: float) -> None:
    assert metric.score(truth, predicted) == pytest.approx(score)


@pytest.mark.parametrize(
    ("metric", "score", "truth", "skill"),
    [
        (Metric.ROC_AUC, 0.75, CLASSES, 0.5),
        (Metric.ROC_AUC, 0.25, CLASSES, -0.5),
        (Metric.ACCURACY, 0.9, np.array([0, 0, 0, 1]), 0.6),
        (Metric.LOG_LOSS, math.log(2) / 4, CLASSES, 0.75),
        (Metric.RMSE, NUMBERS.std() * 2, NUMBERS, -1.0),
        (Metric.MAE, 0.75, NUMBERS, 0.5),  # the median is 2.5, and the mean distance from it 1.5
    ],
)
def test_skills_by_hand(metric: Metric, score: float, truth: np.ndarray, skill: float) -> None:
    assert metric.skill(score, truth, 2) == pytest.approx(skill)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40).filter(lambda drawn: len(set(drawn)) > 1))
def test_of_classes_knowing_nothing_is_0_and_perfect_is_1(drawn: list[int]) -> None:
    truth, classes = np.array(drawn), 4
    shares = np.bincount(truth, minlength=classes) / len(truth)
    for metric in (Metric.LOG_LOSS, Metric.ACCURACY):
        nothing = metric.score(truth, np.tile(shares, (len(truth), 1)))
        assert metric.skill(nothing, truth, classes) == pytest.approx(0, abs=1e-9)
        assert metric.skill(metric.score(truth, np.eye(classes)[truth]), truth, classes) == pytest.approx(1)


@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda drawn: len(set(drawn)) > 1))
def test_of_two_classes_a_constant_has_no_skill_by_roc_auc(drawn: list[bool]) -> None:
    truth = np.array(drawn).astype(int)
    assert Metric.ROC_AUC.skill(Metric.ROC_AUC.score(truth, of_two(*[0.3] * len(truth))), truth, 2) == 0
    assert Metric.ROC_AUC.skill(Metric.ROC_AUC.score(truth, of_two(*truth)), truth, 2) == 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40).filter(lambda drawn: np.std(drawn) > 1e-3))
def test_of_numbers_knowing_nothing_is_0_and_perfect_is_1(drawn: list[float]) -> None:
    truth = np.array(drawn)
    for metric, nothing in ((Metric.RMSE, truth.mean()), (Metric.MAE, np.median(truth))):
        score = metric.score(truth, np.full(len(truth), nothing))
        assert metric.skill(score, truth, 0) == pytest.approx(0, abs=1e-9)
        assert metric.skill(metric.score(truth, truth), truth, 0) == 1


def test_where_nothing_can_be_known_there_is_no_skill() -> None:
    assert Metric.RMSE.skill(3.0, np.ones(5), 0) == 0
    assert Metric.ACCURACY.skill(0.5, np.zeros(5, int), 2) == 0


@pytest.mark.parametrize("metric", Metric)
def test_what_is_better_has_more_skill(metric: Metric) -> None:
    truth = NUMBERS if metric.fits("regression") else CLASSES
    less, more = metric.skill(0.4, truth, 2), metric.skill(0.6, truth, 2)
    assert (more > less) == metric.greater_is_better


def test_which_metric_fits_what() -> None:
    assert {kind: {metric for metric in Metric if metric.fits(kind)} for kind in KINDS} == {
        "binary": {Metric.ROC_AUC, Metric.LOG_LOSS, Metric.ACCURACY},
        "multiclass": {Metric.LOG_LOSS, Metric.ACCURACY},
        "regression": {Metric.RMSE, Metric.MAE},
    }
