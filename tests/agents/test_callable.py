"""Agents made of a function, and the random one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gedanken.agents.callable import RandomAgent, from_callable
from gedanken.agents.contract import Agent
from gedanken.errors import ConfigError
from tests.fakes import AnalyticEnv


def push_right(observation: Any) -> Any:
    return np.ones(1, np.float32)


def test_a_function_acts_in_the_worlds_own_units() -> None:
    agent = from_callable(push_right)
    assert isinstance(agent, Agent)
    assert agent.act(np.zeros(2), seed=3).tolist() == [1.0]
    assert agent.id.endswith("push_right")
    assert from_callable(push_right, id="right-2").id == "right-2"


def test_a_codec_translates_both_ways() -> None:
    seen = []

    def policy(vector: np.ndarray) -> np.ndarray:
        seen.append(vector)
        return np.array([0.5])

    codec = AnalyticEnv(action_limit=2.0).codec
    action = from_callable(policy, codec).act(np.array([1, 2], np.float64))
    assert action.tolist() == [1.0] and action.dtype == np.float32
    assert seen[0].dtype == np.float32 and seen[0].tolist() == [1.0, 2.0]
    scores = from_callable(lambda vector: np.array([0.1, 0.9]), AnalyticEnv(discrete=True).codec)
    assert scores.act(np.zeros(2)) == 1


def test_a_seed_reaches_functions_that_take_one() -> None:
    agent = from_callable(lambda observation, seed=None: seed)
    assert agent.act(0, seed=5) == 5
    assert agent.act(0) is None


def test_objects_that_can_be_called_have_a_name_too() -> None:
    class Policy:
        def __call__(self, observation: Any) -> Any:
            return observation

    assert from_callable(Policy()).id.endswith("Policy")
    assert from_callable(max).act([1, 3, 2]) == 3


@pytest.mark.parametrize("answer", [np.zeros(2), np.array([np.nan]), 0.5])
def test_answers_that_are_no_encoded_action_are_refused(answer: Any) -> None:
    agent = from_callable(lambda vector: answer, AnalyticEnv().codec, id="wrong")
    with pytest.raises(ConfigError, match="The policy wrong"):
        agent.act(np.zeros(2))


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigError, match="can be called"):
        from_callable("left")  # type: ignore[arg-type]


def test_random_actions_are_even_reproducible_and_leave_the_space_alone() -> None:
    space = gym.spaces.Discrete(3, start=4)
    space.seed(0)
    untouched = [space.sample() for _ in range(5)]
    space.seed(0)
    agent, same = RandomAgent(space, seed=1), RandomAgent(space, seed=1)
    assert isinstance(agent, Agent)
    drawn = [agent.act(None) for _ in range(3000)]
    assert drawn == [same.act(None) for _ in range(3000)]
    assert np.abs(np.bincount(drawn, minlength=7)[4:] / 3000 - 1 / 3).max() < 0.04
    assert agent.act(None, seed=9) == agent.act(None, seed=9)
    assert [space.sample() for _ in range(5)] == untouched
    assert len({agent.act(None, seed=s) for s in range(20)}) == 3
