import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.logged import CHUNK, logged, returns_of, target_log_probabilities
from tests.evidence.recordings import record
from tests.evidence.tabular import BEHAVIOUR, CHOICES, CODEC, HORIZON, TARGET, run
from tests.fakes import AnalyticEnv

KEY = jax.random.key(0)


def test_episodes_become_arrays_and_nothing_lies_behind_their_end() -> None:
    episodes = run(BEHAVIOUR, 30)
    logs = logged(episodes, CODEC, horizon=HORIZON)
    assert logs.episodes == 30 and logs.steps == HORIZON and logs.observation.shape == (30, HORIZON + 1, 4)
    lengths = [len(episode) for episode in episodes]
    assert min(lengths) < HORIZON and logs.recorded.sum(1).tolist() == lengths and logs.whole.all()
    assert not logs.reward[~logs.recorded].any() and not logs.action[~logs.recorded].any()
    assert returns_of(logs, 1.0) == pytest.approx([episode.total_reward for episode in episodes])
    discounted = [float((episode.rewards * 0.9 ** np.arange(len(episode))).sum()) for episode in episodes]
    assert returns_of(logs, 0.9) == pytest.approx(discounted)


def test_an_episode_that_was_cut_early_is_not_whole_and_one_that_is_longer_is_cut() -> None:
    episodes = run(BEHAVIOUR, 30, steps=5)
    ended = [bool(episode.terminated.any()) for episode in episodes]
    assert 0 < sum(ended) < 30
    assert logged(episodes, CODEC, horizon=HORIZON).whole.tolist() == ended
    short = logged(run(BEHAVIOUR, 30), CODEC, horizon=3)
    assert short.whole.all() and short.steps == 3


def test_no_episodes_and_no_horizon() -> None:
    assert logged([], CODEC, horizon=HORIZON).episodes == 0
    with pytest.raises(ConfigError, match="step"):
        logged([], CODEC, horizon=0)


def test_a_policy_that_says_its_probabilities_is_believed() -> None:
    logs = logged(run(TARGET, 20), CODEC, horizon=HORIZON)
    found, why = target_log_probabilities(TARGET, logs, CODEC, key=KEY)
    assert why == "" and np.allclose(found, logs.behaviour, atol=1e-6)


def test_a_deterministic_choice_has_probability_one_or_none() -> None:
    logs = logged(run(BEHAVIOUR, 20), CODEC, horizon=HORIZON)

    def always_first(observation, key):
        return jnp.tile(jnp.eye(CHOICES)[0], (len(observation), 1))

    found, why = target_log_probabilities(always_first, logs, CODEC, key=KEY)
    assert why == "" and set(np.unique(found)) == {0.0, -np.inf}
    assert np.array_equal(found == 0.0, (logs.action[..., 0] == 1.0) | ~logs.recorded)


def test_what_has_no_probabilities_says_why() -> None:
    logs = logged(run(BEHAVIOUR, 5), CODEC, horizon=HORIZON)
    found, why = target_log_probabilities(TARGET.__call__, logs, CODEC, key=KEY)
    assert found is None and "log_probability" in why
    env = AnalyticEnv(horizon=10)
    continuous = logged(record(env, 3), env.codec, horizon=10)
    found, why = target_log_probabilities(lambda seen, key: -seen[:, :1], continuous, env.codec, key=KEY)
    assert found is None and "deterministic" in why

    class Broken:
        def __call__(self, observation, key):
            return observation[:, :1]

        def log_probability(self, observation, action):
            return jnp.full(len(observation), jnp.nan)

    found, why = target_log_probabilities(Broken(), continuous, env.codec, key=KEY)
    assert found is None and "NaN for 30" in why


def test_many_rows_are_asked_in_chunks_of_one_shape() -> None:
    logs = logged(run(BEHAVIOUR, CHUNK // 4), CODEC, horizon=HORIZON)
    assert logs.recorded.sum() > CHUNK
    found, _ = target_log_probabilities(BEHAVIOUR, logs, CODEC, key=KEY)
    assert np.allclose(found, logs.behaviour, atol=1e-6)
