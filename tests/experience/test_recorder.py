from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from gedanken.errors import StoreError
from gedanken.experience import Cost, Experience, Outcome, Recorder, record
from tests.experience.examples import OBSERVATIONS, create, header, step


class Counter(gym.Env):
    """Counts up to 3; gives out the same array every time, as fast envs do, and changes what is in it."""

    observation_space = OBSERVATIONS
    action_space = gym.spaces.Discrete(2)

    def __init__(self, **told):
        self.array, self.told = np.zeros(2), told

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.array[:] = 0
        return self.array, {}

    def step(self, action):
        self.array += (1, action)
        at = self.array[0]
        return self.array, at / 2, at == 3, False, self.told if at == 3 else {}


@pytest.fixture
def experience(tmp_path):
    with create(tmp_path / "x", action_space=Counter.action_space) as opened:
        yield opened


def test_an_envs_steps_are_recorded_as_they_happen(experience, tmp_path):
    env = record(Counter(success=True), experience, policy="mine")
    observation, _ = env.reset(seed=4, options={"task": {"goal": 3}})
    for count in range(1, 4):
        observation, _, terminated, _, _ = env.step(1)
        assert len(Experience.open(tmp_path / "x")) == count
    assert terminated and observation.tolist() == [3, 3]
    (episode,) = Experience.open(tmp_path / "x").episodes()
    np.testing.assert_array_equal(episode.observations, [[0, 0], [1, 1], [2, 2], [3, 3]])
    assert episode.actions.tolist() == [1, 1, 1] and episode.rewards.tolist() == [0.5, 1.0, 1.5]
    assert episode.terminated.tolist() == [False, False, True]
    assert (episode.header.policy, episode.header.seed, episode.header.task) == ("mine", 4, {"goal": 3})
    assert episode.outcome == Outcome(True, None, "world") and episode.complete
    assert episode.costs["steps"].tolist() == [1, 1, 1]
    assert (episode.durations_ms >= 0).all() and np.isnan(episode.log_probabilities).all()


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({}, Outcome()),
        ({"is_success": np.False_, "failure_mode": "fell"}, Outcome(False, "fell", "world")),
        ({"success": 1.0}, Outcome(True, None, "world")),
    ],
)
def test_the_outcome_is_what_the_world_says_and_otherwise_not_known(experience, told, outcome):
    env = record(Counter(**told), experience, policy="mine")
    env.reset()
    while not env.step(0)[2]:
        pass
    assert experience.summaries()[0].outcome == outcome


def test_a_reset_ends_an_episode_and_closing_does_not(experience):
    env = record(Counter(), experience, policy="first", cost=Cost(experiments=2), account="check")
    with pytest.raises(StoreError, match="call reset"):
        env.step(0)
    env.reset()
    env.note(log_probability=-0.5)
    env.step(0)
    env.step(1)
    env.policy = "second"
    env.reset()
    env.step(1)
    env.close()
    one, two = experience.summaries()
    assert (one.complete, one.length, one.header.policy, one.header.account) == (True, 2, "first", "check")
    assert (two.complete, two.length, two.header.policy) == (False, 1, "second")
    episode = experience.episode(one.header.episode_id)
    np.testing.assert_array_equal(episode.log_probabilities, [-0.5, np.nan])
    assert episode.costs["experiments"].tolist() == [2, 2]


def test_ids_go_on_after_reopening(experience):
    record(Counter(), experience, policy="p").reset()
    experience.close()
    with Experience.open(experience.path, write=True) as again:
        record(Counter(), again, policy="p").reset()
        assert len({each.episode_id for each in again.headers()}) == 2


def test_an_env_with_other_spaces_is_refused(tmp_path):
    with create(tmp_path / "x") as experience, pytest.raises(StoreError, match="other spaces"):
        record(Counter(), experience, policy="p")


def test_the_recorder_writes_to_its_experience(tmp_path):
    with create(tmp_path / "x") as experience:
        recorder = Recorder(experience)
        recorder.begin(header("e"))
        recorder.append("e", [step(0), step(1)])
        assert len(Experience.open(tmp_path / "x")) == 2
        recorder.end("e", Outcome(True))
        assert experience.summaries()[0].outcome.success
