import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.evidence.doubly_robust import correct, doubly_robust
from gedanken.evidence.fitted_q import FittedQ, fit_q, value_at_start
from gedanken.evidence.importance import importance_weights, weigh
from gedanken.evidence.logged import logged
from tests.evidence.tabular import BEHAVIOUR, CODEC, HORIZON, TARGET, Soft, run

KEY = jax.random.key(0)
SETTINGS = FittedQ(fourier=4, ridge=1e-6, folds=5)
ASKED = {"horizon": HORIZON, "key": KEY, "seed": 0, "settings": SETTINGS}
JUDGED = {"horizon": HORIZON, "key": KEY, "discount": 1.0, "confidence": 0.95, "seed": 0}


def parts(count: int, *, seed: int = 0):
    logs = logged(run(BEHAVIOUR, count, seed=seed), CODEC, horizon=HORIZON)
    weights = importance_weights(TARGET, logs, CODEC, key=KEY)
    fit = fit_q(logs, TARGET, CODEC, horizon=HORIZON, key=KEY, discount=1.0, settings=SETTINGS)
    return logs, weights, fit


def test_it_finds_the_exact_value_and_is_surer_than_the_weights_alone() -> None:
    logs, weights, fit = parts(400)
    found = correct(fit, logs, weights, TARGET, CODEC, **JUDGED)
    alone = weigh(logs, weights, discount=1.0, confidence=0.95, seed=0).weighted
    assert found.low < TARGET.value() < found.high and found.count == 400
    assert found.high - found.low < 0.95 * (alone.high - alone.low)
    assert found == doubly_robust(run(BEHAVIOUR, 400), TARGET, CODEC, **ASKED)


def test_with_a_value_function_that_says_nothing_it_is_weighted_importance_sampling() -> None:
    logs, weights, fit = parts(60)
    silent = fit._replace(weights=np.zeros_like(fit.weights), least=fit.least * 0, most=fit.most * 0)
    found = correct(silent, logs, weights, TARGET, CODEC, **JUDGED)
    alone = weigh(logs, weights, discount=1.0, confidence=0.95, seed=0).weighted
    assert (found.mean, found.low, found.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_weights_repair_a_wrong_value_function() -> None:
    logs, weights, fit = parts(600, seed=1)
    wrong = fit._replace(weights=fit.weights * 0.5)
    alone = value_at_start(wrong, logs, TARGET, CODEC, horizon=HORIZON, key=KEY, confidence=0.99)
    assert not alone.low < TARGET.value() < alone.high
    found = correct(wrong, logs, weights, TARGET, CODEC, **{**JUDGED, "confidence": 0.99})
    assert found.low < TARGET.value() < found.high


def test_a_right_value_function_repairs_wrong_weights() -> None:
    logs, weights, fit = parts(600, seed=2)
    wrong = weights._replace(logs=np.cumsum(np.random.default_rng(0).normal(0, 0.2, weights.logs.shape), 1))
    alone = weigh(logs, wrong, discount=1.0, confidence=0.99, seed=0).weighted
    assert not alone.low < TARGET.value() < alone.high, "such weights mean the behaviour's value"
    found = correct(fit, logs, wrong, TARGET, CODEC, **{**JUDGED, "confidence": 0.99})
    assert found.low < TARGET.value() < found.high


def test_with_both_wrong_it_is_wrong() -> None:
    logs, weights, fit = parts(600, seed=2)
    flat = weights._replace(logs=np.zeros_like(weights.logs))
    found = correct(fit._replace(weights=fit.weights * 0), logs, flat, TARGET, CODEC, **{**JUDGED, "confidence": 0.99})
    assert not found.low < TARGET.value() < found.high


@settings(max_examples=5)
@given(scale=st.floats(0.1, 50))
def test_the_value_is_told_in_the_unit_of_the_rewards(scale: float) -> None:
    episodes = run(BEHAVIOUR, 60)
    scaled = [type(e)(**{**vars(e), "rewards": scale * e.rewards}) for e in episodes]
    one, other = (doubly_robust(logs, TARGET, CODEC, **ASKED) for logs in (episodes, scaled))
    wanted = [scale * end for end in (one.mean, one.low, one.high)]
    assert [other.mean, other.low, other.high] == pytest.approx(wanted, rel=1e-2, abs=1e-2)


def test_without_weights_it_is_not_measured() -> None:
    unknown = doubly_robust(run(BEHAVIOUR, 20, known=False), TARGET, CODEC, **ASKED)
    assert unknown.mean is None and "not known" in unknown.reason
    far = doubly_robust(run(BEHAVIOUR, 20), Soft(-20.0 * np.asarray(BEHAVIOUR.scores)), CODEC, **ASKED)
    assert far.mean is None and "worth" in far.reason
    assert doubly_robust([], TARGET, CODEC, **ASKED).mean is None
