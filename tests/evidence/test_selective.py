import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gedanken.evidence.selective import COVERAGES, RiskCoverage, risk_coverage

STEPS = 2_000
ERROR = np.random.default_rng(0).permutation((np.arange(STEPS) + 0.5) / STEPS)
EPISODE = np.arange(STEPS) // 80


def judged(uncertainty: np.ndarray) -> RiskCoverage:
    return risk_coverage(uncertainty=uncertainty, error=ERROR, episode=EPISODE, seed=0)


def test_uncertainty_that_is_the_error_gains_everything() -> None:
    """Errors are even in [0, 1], so the surest share c has mean error c / 2, and the area is 1 / 4."""
    found = judged(ERROR)
    assert [risk.mean for risk in found.risk] == pytest.approx([c / 2 for c in COVERAGES], abs=1e-3)
    assert found.aurc.mean == pytest.approx(0.25, abs=1e-3) == found.aurc_best.mean
    assert found.gained.mean == 1.0 and found.finds_worst.mean == 1.0
    assert found.aurc.count == 25 and found.aurc.low < 0.25 < found.aurc.high and found.steps == STEPS
    json.dumps(found.to_json(), allow_nan=False)


def test_uncertainty_that_says_nothing_gains_nothing_and_one_that_lies_loses() -> None:
    same, lying = judged(np.ones(STEPS)), judged(-ERROR)
    assert same.gained.mean == pytest.approx(0.0, abs=1e-9) and same.finds_worst.mean == 0.5
    assert [risk.mean for risk in same.risk] == pytest.approx([0.5] * len(COVERAGES))
    assert lying.gained.high < 0 and lying.finds_worst.mean == 0.0
    noise = judged(np.random.default_rng(1).uniform(size=STEPS))
    assert noise.gained.low < 0 < noise.gained.high and noise.finds_worst.low < 0.5 < noise.finds_worst.high


def test_noise_on_good_uncertainty_lowers_what_it_gains() -> None:
    draws = np.random.default_rng(2).normal(size=STEPS)
    gained = [judged(ERROR + noise * draws).gained.mean for noise in (0.0, 0.2, 1.0, 5.0)]
    assert gained == sorted(gained, reverse=True) and gained[-1] > 0


@given(
    arrays(np.float64, 20, elements=st.floats(0, 10)),
    arrays(np.float64, 20, elements=st.integers(0, 5).map(float)),
)
def test_no_order_beats_that_of_the_errors_and_scale_does_not_matter(error: np.ndarray, said: np.ndarray) -> None:
    episode = np.arange(20) // 5
    found = risk_coverage(uncertainty=said, error=error, episode=episode, seed=0)
    scaled = risk_coverage(uncertainty=3.0 * said + 1.0, error=error, episode=episode, seed=0)
    assert found.aurc_best.mean <= found.aurc.mean + 1e-9
    assert scaled.aurc.mean == pytest.approx(found.aurc.mean)
    assert found.risk[-1].mean == pytest.approx(error.mean())


def test_what_cannot_be_ordered_says_why() -> None:
    unknown = judged(np.full(STEPS, np.nan))
    assert unknown.aurc.mean is None and "no epistemic" in unknown.gained.reason and unknown.steps == STEPS
    none = risk_coverage(uncertainty=np.zeros(0), error=np.zeros(0), episode=np.zeros(0, np.int64), seed=0)
    assert "no steps" in none.aurc.reason
    perfect = risk_coverage(uncertainty=np.arange(4.0), error=np.zeros(4), episode=np.arange(4), seed=0)
    assert perfect.gained.mean is None and perfect.aurc.mean == 0.0
