import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.fitted_q import FittedQ, fit_q, fitted_q_evaluation
from gedanken.evidence.logged import logged
from gedanken.evidence.value import imagined_returns
from gedanken.models.contract import State
from tests.evidence.recordings import record
from tests.evidence.tabular import BEHAVIOUR, CODEC, HORIZON, TARGET, run
from tests.fakes import AnalyticEnv, double_integrator

KEY = jax.random.key(0)
EXACT = FittedQ(fourier=4, ridge=1e-6, folds=5)
ASKED = {"horizon": HORIZON, "key": KEY, "settings": EXACT}


def test_in_a_world_of_states_and_choices_it_finds_the_exact_value() -> None:
    found = fitted_q_evaluation(run(BEHAVIOUR, 500), TARGET, CODEC, confidence=0.99, **ASKED)
    assert found.low < TARGET.value() < found.high and found.high - found.low < 1.0
    assert (found.method, found.count) == ("jackknife-t", 500)


def test_discounting_and_the_horizon_are_those_asked_for() -> None:
    episodes = run(BEHAVIOUR, 1_000, seed=3)
    for horizon, discount in ((1, 1.0), (3, 1.0), (HORIZON, 0.6)):
        asked = {**ASKED, "horizon": horizon, "discount": discount}
        found = fitted_q_evaluation(episodes, TARGET, CODEC, **asked)
        assert found.mean == pytest.approx(TARGET.value(horizon=horizon, discount=discount), abs=0.15)


def test_neither_probabilities_nor_ends_of_the_logged_episodes_are_needed() -> None:
    found = fitted_q_evaluation(run(BEHAVIOUR, 700, known=False, steps=4), TARGET, CODEC, **ASKED)
    assert found.mean == pytest.approx(TARGET.value(), abs=0.3)


def test_intervals_hold_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(25):
        found = fitted_q_evaluation(run(BEHAVIOUR, 60, seed=seed), TARGET, CODEC, confidence=0.9, **ASKED)
        held.append(found.low <= TARGET.value() <= found.high)
    assert np.mean(held) >= 0.75


def brake(observation, key):
    return jnp.clip(-0.5 * observation[:, :1] - 0.5 * observation[:, 1:], -1.0, 1.0)


def linear_logs(count: int = 25, horizon: int = 40):
    env, rng = AnalyticEnv(double_integrator(noise=0.05), horizon=horizon), np.random.default_rng(0)

    def noisy(seen):
        pushed = np.asarray(brake(seen[None], None))[0] + rng.normal(0, 0.4, 1)
        return env.codec.decode_action(pushed)

    return env, record(env, count, policy=noisy)


def test_in_a_linear_quadratic_world_it_finds_the_value_of_a_deterministic_policy() -> None:
    """A continuous, deterministic target has no importance weights; its value function is quadratic."""
    env, logs = linear_logs()
    starts = jnp.asarray(np.stack([episode.observations[0] for episode in logs]))
    many = State(jnp.repeat(starts, 40, axis=0))
    exact = imagined_returns(env.system, brake, episodes=1_000, horizon=40, key=KEY, start=many).mean()
    quadratic = FittedQ(fourier=0, ridge=1e-6, folds=5)
    found = fitted_q_evaluation(logs, brake, env.codec, horizon=40, key=KEY, settings=quadratic)
    assert found.mean == pytest.approx(exact, rel=0.05) and found.low < exact < found.high
    behaviour = np.mean([episode.total_reward for episode in logs])
    assert abs(found.mean - exact) < 0.5 * abs(behaviour - exact)


def test_a_constant_reward_adds_up_to_the_horizon_and_not_to_less() -> None:
    """A ridge that shrank the constant would lose a share of it at every step."""
    env, logs = linear_logs(6)
    ones = [type(episode)(**{**vars(episode), "rewards": np.ones(len(episode))}) for episode in logs]
    settings = FittedQ(fourier=8, ridge=0.1, folds=3)
    found = fitted_q_evaluation(ones, brake, env.codec, horizon=500, key=KEY, settings=settings)
    assert found.mean == pytest.approx(500.0, rel=1e-3)


def test_values_stay_within_what_rewards_can_add_up_to() -> None:
    env, logs = linear_logs(3)
    settings = FittedQ(fourier=200, ridge=1e-9, folds=2)
    found = fitted_q_evaluation(logs, brake, env.codec, horizon=300, key=KEY, settings=settings)
    worst = min(episode.rewards.min() for episode in logs)
    assert 300 * worst <= found.mean <= 0.0


def test_rewards_of_other_steps_spoil_it() -> None:
    episodes = run(BEHAVIOUR, 500)
    mixed = [type(e)(**{**vars(e), "rewards": e.rewards[::-1]}) for e in episodes]
    right, wrong = (fitted_q_evaluation(logs, TARGET, CODEC, **ASKED).mean for logs in (episodes, mixed))
    assert abs(wrong - TARGET.value()) > 2 * abs(right - TARGET.value())


def test_the_key_decides_everything_and_rows_can_be_capped() -> None:
    episodes = run(BEHAVIOUR, 60)
    few = FittedQ(fourier=8, folds=3, rows=100)
    asked = {"horizon": HORIZON, "settings": few}
    one, same, other = (
        fitted_q_evaluation(episodes, TARGET, CODEC, key=jax.random.key(seed), **asked) for seed in (1, 1, 2)
    )
    assert one == same and one != other


@settings(max_examples=8)
@given(scale=st.floats(-20, 20).filter(lambda x: abs(x) > 0.05), seed=st.integers(0, 3))
def test_the_value_is_told_in_the_unit_of_the_rewards(scale: float, seed: int) -> None:
    episodes = run(BEHAVIOUR, 40, seed=seed)
    scaled = [type(e)(**{**vars(e), "rewards": scale * e.rewards}) for e in episodes]
    one, other = (fitted_q_evaluation(logs, TARGET, CODEC, **ASKED) for logs in (episodes, scaled))
    ends = sorted([scale * one.low, scale * one.high])
    assert [other.mean, other.low, other.high] == pytest.approx([scale * one.mean, *ends], rel=1e-2, abs=1e-2)


def test_folds_never_see_what_they_are_judged_on() -> None:
    logs = logged(run(BEHAVIOUR, 12), CODEC, horizon=HORIZON)
    one = fit_q(logs, TARGET, CODEC, horizon=HORIZON, key=KEY, discount=1.0, settings=EXACT)
    changed = logs.reward.copy()
    changed[one.fold == 2] += np.where(logs.recorded[one.fold == 2], 0.01, 0.0)
    other = fit_q(logs._replace(reward=changed), TARGET, CODEC, horizon=HORIZON, key=KEY, discount=1.0, settings=EXACT)
    # The bounds of a value may move with any reward, so the first step is compared, which they do not reach.
    assert np.allclose(one.weights[1, :, 3], other.weights[1, :, 3], atol=1e-6)
    assert not np.allclose(one.weights[1, :, 1], other.weights[1, :, 1], atol=1e-6)


def test_one_episode_has_no_interval_and_none_no_value() -> None:
    one = fitted_q_evaluation(run(BEHAVIOUR, 1), TARGET, CODEC, **ASKED)
    assert one.mean is not None and one.low is None
    assert fitted_q_evaluation([], TARGET, CODEC, **ASKED).mean is None
    broken = run(BEHAVIOUR, 3)
    broken[1].rewards[0] = np.nan
    with pytest.raises(ConfigError, match="not finite"):
        fitted_q_evaluation(broken, TARGET, CODEC, **ASKED)
    with pytest.raises(ConfigError, match="nothing to fit"):
        fit_q(logged([], CODEC, horizon=3), TARGET, CODEC, horizon=3, key=KEY, discount=1.0, settings=EXACT)
