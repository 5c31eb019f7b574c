import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gedanken.errors import ConfigError
from gedanken.evidence.exploitation import exploitation_gap
from gedanken.evidence.value import imagined_against_real, imagined_returns
from gedanken.models.contract import State
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole

KEY = jax.random.key(0)


def brake(observation, key):
    return jnp.clip(-observation[:, :1] - observation[:, 1:], -1.0, 1.0)


def push_right(observation, key):
    return jnp.tile(jnp.asarray([0.0, 1.0]), (observation.shape[0], 1))


def test_the_true_model_imagines_exactly_the_real_returns() -> None:
    """Real episodes of a policy, and the same policy from the same starts in the true, noiseless model."""
    env = AnalyticEnv(double_integrator(), horizon=80)
    real = record(env, 7, policy=lambda seen: env.codec.decode_action(np.asarray(brake(seen[None], None))[0]))
    start = State(jnp.asarray(np.stack([episode.observations[0] for episode in real])))
    imagined = imagined_returns(double_integrator(), brake, episodes=7, horizon=80, key=KEY, start=start)
    assert imagined == pytest.approx([episode.total_reward for episode in real], rel=1e-4)


def test_a_discount_weighs_later_rewards_less() -> None:
    model, start = falling_pole(limit=1e6), State(jnp.zeros((1, 2)))
    found = imagined_returns(model, push_right, episodes=1, horizon=4, key=KEY, start=start, discount=0.5)
    assert found.tolist() == [1.0 + 0.5 + 0.25 + 0.125]


def test_returns_stop_where_the_episode_ends() -> None:
    env = AnalyticEnv(falling_pole(), discrete=True, horizon=200)
    real = record(env, 12, policy=lambda seen: 1)
    start = State(jnp.asarray(np.stack([episode.observations[0] for episode in real])))
    imagined = imagined_returns(falling_pole(), push_right, episodes=12, horizon=200, key=KEY, start=start)
    assert imagined.tolist() == [len(episode) for episode in real] and max(imagined) < 200


def test_many_episodes_come_in_chunks_and_are_all_different() -> None:
    model = double_integrator(noise=0.1)
    found = imagined_returns(model, brake, episodes=2_300, horizon=5, key=KEY)
    assert found.shape == (2_300,) and len(np.unique(found)) > 2_250
    assert np.array_equal(found, imagined_returns(model, brake, episodes=2_300, horizon=5, key=KEY))


def test_a_rollout_that_blows_up_has_no_return() -> None:
    wild = AnalyticModel.create(np.eye(2) * 1e20, [[0.0, 0.5]], limit=np.inf)
    found = imagined_returns(wild, brake, episodes=4, horizon=10, key=KEY)
    assert np.isnan(found).all()
    assert imagined_against_real(real=[1.0, 2.0], imagined=found, paired=False, seed=0).difference.mean is None


def test_memory_does_not_grow_with_the_steps_of_a_rollout() -> None:
    """Only returns leave the compiled scan, so the trajectories must not be kept."""
    model, horizon, batch = double_integrator(), 2_000, 500
    start = model.start(None, KEY, batch=batch)
    from gedanken.evidence import value

    used = value._returns.lower(model, brake, start, KEY, horizon, 1.0).compile().compiled.memory_analysis()
    whole = horizon * batch * 4 * (2 * model.observation_size + model.action_size)
    assert used.temp_size_in_bytes < whole


@pytest.mark.parametrize(("episodes", "text"), [(0, "No episode"), (3, "pair up")])
def test_wrong_counts_are_refused(episodes: int, text: str) -> None:
    model = double_integrator()
    with pytest.raises(ConfigError, match=text):
        imagined_returns(model, brake, episodes=episodes, horizon=5, key=KEY, start=model.start(None, KEY, batch=4))


def test_pairs_cancel_the_luck_of_the_start() -> None:
    luck = np.random.default_rng(0).normal(0, 50, 12)
    real, imagined = 100 + luck, 110 + luck
    paired = imagined_against_real(real=real, imagined=imagined, paired=True, seed=0)
    alone = imagined_against_real(real=real, imagined=imagined, paired=False, seed=0)
    assert paired.difference.mean == pytest.approx(alone.difference.mean) == pytest.approx(10.0)
    assert paired.difference.high - paired.difference.low < 1e-6
    assert alone.difference.low < 0 < alone.difference.high
    assert paired.relative_error.mean == pytest.approx(10 / real.mean())
    json.dumps(paired.to_json(), allow_nan=False)


def test_independent_samples_are_compared_as_welch_does() -> None:
    rng = np.random.default_rng(1)
    real, imagined = rng.normal(-150, 40, 10), rng.normal(-120, 5, 1000)
    found = imagined_against_real(real=real, imagined=imagined, paired=False, seed=0)
    expected = scipy.stats.ttest_ind(imagined, real, equal_var=False).confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high))
    assert found.difference.mean > 0 and found.relative_error.mean > 0, (
        "imagined is the better one: it promises too much"
    )
    assert (found.real.count, found.imagined.count, found.difference.count) == (10, 1000, 10)


def test_swapping_the_arguments_is_impossible_by_position_and_turns_the_sign() -> None:
    with pytest.raises(TypeError):
        imagined_against_real([1.0], [2.0], paired=True, seed=0)
    one = imagined_against_real(real=[1.0, 2.0], imagined=[2.0, 4.0], paired=True, seed=0)
    other = imagined_against_real(real=[2.0, 4.0], imagined=[1.0, 2.0], paired=True, seed=0)
    assert one.difference.mean == -other.difference.mean == 1.5
    assert one.relative_error.mean == 1.0 and other.relative_error.mean == -0.5


def test_the_interval_of_the_relative_error_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = []
    for _ in range(300):
        real = rng.normal(200, 40, 15)
        found = imagined_against_real(
            real=real, imagined=real + rng.normal(20, 10, 15), paired=True, seed=0, confidence=0.9
        ).relative_error
        held.append(found.low <= 0.1 <= found.high)
    assert 0.84 <= np.mean(held) <= 0.96


def test_too_little_data_is_told_and_not_guessed() -> None:
    one = imagined_against_real(real=[5.0], imagined=[6.0, 7.0], paired=False, seed=0)
    assert one.difference.mean == 1.5 and one.difference.low is None and one.relative_error.low is None
    none = imagined_against_real(real=[], imagined=[6.0], paired=False, seed=0)
    assert none.difference.mean is None and "real" in none.difference.reason and none.imagined.mean == 6.0
    zero = imagined_against_real(real=[1.0, -1.0], imagined=[1.0, 1.0], paired=True, seed=0)
    assert zero.difference.mean == 1.0 and zero.relative_error.mean is None and "is 0" in zero.relative_error.reason
    with pytest.raises(ConfigError, match="3 real and 2 imagined"):
        imagined_against_real(real=[1, 2, 3], imagined=[1, 2], paired=True, seed=0)


def test_exploitation_is_claimed_only_where_the_interval_says_so() -> None:
    rng = np.random.default_rng(2)
    real = rng.normal(300, 30, 10)
    lied = exploitation_gap(real=real, imagined=real + 900, paired=True, seed=0)
    assert lied.exploited is True and lied.gap.mean == pytest.approx(900)
    honest = exploitation_gap(real=real, imagined=rng.normal(300, 30, 500), paired=False, seed=0)
    assert honest.exploited is False and honest.gap.low < 0 < honest.gap.high
    unknown = exploitation_gap(real=[1.0], imagined=[5.0], paired=False, seed=0)
    assert unknown.exploited is None and unknown.gap.mean == 4.0
    json.dumps(lied.to_json(), allow_nan=False)
