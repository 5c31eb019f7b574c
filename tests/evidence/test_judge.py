import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gedanken.evidence.interval import Interval
from gedanken.evidence.judge import Judge, complement

EPISODE = np.array([7, 7, 3, 3, 3, 9])


@given(arrays(np.float64, 6, elements=st.floats(0.1, 10)), arrays(np.float64, 6, elements=st.floats(0.1, 10)))
def test_values_are_pooled_over_steps_and_resampled_by_episode(ours: np.ndarray, theirs: np.ndarray) -> None:
    judge = Judge.of(EPISODE, confidence=0.95, seed=0)
    assert judge.episodes == 3
    assert judge.sums(ours).tolist() == pytest.approx([ours[2:5].sum(), ours[:2].sum(), ours[5]])
    assert judge.mean(ours, "").mean == pytest.approx(ours.mean()) and judge.mean(ours, "").count == 3
    assert judge.mean(ours, "", root=True).mean == pytest.approx(np.sqrt(ours.mean()))
    assert judge.ratio(ours, theirs, "").mean == pytest.approx(ours.sum() / theirs.sum())
    skill = judge.skill(ours, theirs, "")
    assert skill.mean == pytest.approx(1 - ours.sum() / theirs.sum())
    assert skill.low <= skill.mean <= skill.high


def test_what_is_not_finite_or_divides_by_nothing_is_missing() -> None:
    judge = Judge.of(EPISODE, confidence=0.95, seed=0)
    broken = np.array([np.nan, 1, 1, 1, 1, 1])
    assert judge.mean(broken, "why").reason == judge.ratio(np.ones(6), broken, "why").reason == "why"
    assert judge.ratio(np.ones(6), np.zeros(6), "").mean is None
    assert Judge.of(np.zeros(0, np.int64), confidence=0.9, seed=0).episodes == 0


def test_a_complement_turns_its_ends_around() -> None:
    assert complement(Interval(0.2, 0.1, 0.5, 4)) == Interval(0.8, 0.5, 0.9, 4)
    assert complement(Interval.missing("why")).reason == "why"
