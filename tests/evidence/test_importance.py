import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.importance import FEWEST, effective_episodes, importance_sampling
from tests.evidence.recordings import record
from tests.evidence.tabular import BEHAVIOUR, CODEC, HORIZON, TARGET, Soft, run
from tests.fakes import AnalyticEnv

ASKED = {"horizon": HORIZON, "key": jax.random.key(0), "seed": 0}


def test_both_find_the_exact_value_and_the_logs_own_mean_does_not() -> None:
    episodes = run(BEHAVIOUR, 600)
    found = importance_sampling(episodes, TARGET, CODEC, confidence=0.99, **ASKED)
    exact = TARGET.value()
    for interval in (found.per_decision, found.weighted):
        assert interval.low < exact < interval.high and interval.count == 600
    naive = np.array([episode.total_reward for episode in episodes])
    assert abs(naive.mean() - exact) > 4 * naive.std() / np.sqrt(600)
    assert 50 < found.effective < 600
    json.dumps(found.to_json(), allow_nan=False)


def test_discounting_and_a_shorter_horizon_change_what_is_asked() -> None:
    episodes = run(BEHAVIOUR, 600, seed=1)
    for horizon, discount in ((3, 1.0), (HORIZON, 0.7)):
        asked = {**ASKED, "horizon": horizon, "discount": discount, "confidence": 0.99}
        found = importance_sampling(episodes, TARGET, CODEC, **asked)
        exact = TARGET.value(horizon=horizon, discount=discount)
        assert found.per_decision.low < exact < found.per_decision.high
        assert found.weighted.low < exact < found.weighted.high


def test_of_its_own_episodes_all_weigh_alike() -> None:
    episodes = run(TARGET, 40)
    found = importance_sampling(episodes, TARGET, CODEC, **ASKED)
    mean = np.mean([episode.total_reward for episode in episodes])
    assert found.effective == pytest.approx(40)
    assert found.per_decision.mean == pytest.approx(mean) and found.weighted.mean == pytest.approx(mean)


def test_intervals_hold_as_often_as_they_say() -> None:
    held = []
    for seed in range(60):
        found = importance_sampling(run(BEHAVIOUR, 80, seed=seed), TARGET, CODEC, confidence=0.9, **ASKED)
        held.append([each.low <= TARGET.value() <= each.high for each in (found.per_decision, found.weighted)])
    assert (np.mean(held, 0) >= 0.8).all()


def test_wrong_probabilities_move_the_estimate() -> None:
    episodes = run(BEHAVIOUR, 600)
    wrong = [type(e)(**{**vars(e), "log_probabilities": said_by(TARGET, e)}) for e in episodes]
    found = importance_sampling(wrong, TARGET, CODEC, confidence=0.99, **ASKED)
    assert not found.weighted.low < TARGET.value() < found.weighted.high
    assert found.weighted.mean == pytest.approx(np.mean([episode.total_reward for episode in episodes]))


def said_by(policy: Soft, episode) -> np.ndarray:
    return np.log(policy.probabilities[episode.observations[:-1], episode.actions])


def test_weights_that_collapse_are_not_measured_and_say_so() -> None:
    far = Soft(-20.0 * np.asarray(BEHAVIOUR.scores))
    found = importance_sampling(run(BEHAVIOUR, 30), far, CODEC, **ASKED)
    assert found.effective < FEWEST and found.weighted.mean is None and found.per_decision.mean is None
    assert "worth" in found.weighted.reason and "of 30 episodes" in found.weighted.reason
    few = importance_sampling(run(TARGET, 3), TARGET, CODEC, **ASKED)
    assert few.weighted.mean is None and few.effective == pytest.approx(3)


def test_what_is_missing_says_why() -> None:
    unknown = importance_sampling(run(BEHAVIOUR, 30, known=False), TARGET, CODEC, **ASKED)
    assert unknown.weighted.mean is None and "not known" in unknown.weighted.reason and unknown.effective is None
    none = importance_sampling([], TARGET, CODEC, **ASKED)
    assert none.per_decision.mean is None and "up to its end" in none.per_decision.reason
    env = AnalyticEnv(horizon=10)
    logs = record(env, 8)
    for episode in logs:
        episode.log_probabilities[:] = 0.0
    asked = {**ASKED, "horizon": 10}
    deterministic = importance_sampling(logs, lambda seen, key: jnp.tanh(-seen[:, :1]), env.codec, **asked)
    assert deterministic.weighted.mean is None and "no importance weights" in deterministic.weighted.reason


def test_episodes_without_probabilities_or_end_are_left_out_and_counted() -> None:
    mixed = run(BEHAVIOUR, 50) + run(BEHAVIOUR, 20, known=False, seed=2)
    found = importance_sampling(mixed, TARGET, CODEC, **ASKED)
    assert found.episodes == 50
    assert found == importance_sampling(mixed[:50], TARGET, CODEC, **ASKED)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 30), scale=st.floats(-500, 500))
def test_effective_episodes_lie_between_one_and_all_whatever_the_unit(seed: int, count: int, scale: float) -> None:
    logs = np.random.default_rng(seed).normal(0, 30, (count, 4))
    found = effective_episodes(logs)
    assert ((found >= 1.0 - 1e-9) & (found <= count + 1e-9)).all()
    assert found == pytest.approx(effective_episodes(logs + scale))
    assert effective_episodes(np.full((count, 1), -np.inf)) == [0.0]
