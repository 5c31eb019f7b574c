"""What every agent must do. A new one is tested by adding one `Kind` to `KINDS`.

`make` builds the same agent at each call, for the world whose codec it is given: continuous actions, or choices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest

from gedanken.agents.actor_critic import Actor
from gedanken.agents.callable import RandomAgent, from_callable
from gedanken.agents.contract import Agent
from gedanken.agents.icem import ICEMConfig, Planner
from gedanken.agents.policy import PolicyAgent
from gedanken.experience.codec import Codec
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv, double_integrator, falling_pole


@dataclass(frozen=True)
class Kind:
    """An agent under test. `explores`: a seed decides its action; `repeats`: without one it always acts alike."""

    name: str
    make: Callable[[Codec], Agent]
    explores: bool = True
    repeats: bool = True


def _policy(codec: Codec) -> Agent:
    size = codec.observation_size, codec.action_size
    key = jax.random.key(0)
    return PolicyAgent(Actor(*size, discrete=codec.choices > 0, width=8, depth=1, layer_norm=True, key=key), codec)


def _planner(codec: Codec) -> Agent:
    model = falling_pole() if codec.choices else double_integrator(noise=0.1)
    return Planner(model, codec, ICEMConfig(horizon=4, candidates=16, elites=4, iterations=2))


def _function(codec: Codec) -> Agent:
    def lean(observation: np.ndarray) -> np.ndarray:
        return np.resize(np.tanh(observation), codec.action_size)

    return from_callable(lean, codec)


def _random(codec: Codec) -> Agent:
    return RandomAgent(codec.action_space)


KINDS = [
    Kind("policy", _policy),
    Kind("planner", _planner),
    Kind("callable", _function, explores=False),
    Kind("random", _random, repeats=False),
]


def codec_of(*, discrete: bool) -> Codec:
    return AnalyticEnv(discrete=discrete).codec


class AgentContract:
    """Subclass it and give the fixtures `kind` and `codec`, or see tests/agents/test_contract.py."""

    @pytest.fixture
    def agent(self, kind: Kind, codec: Codec) -> Agent:
        return kind.make(codec)

    @pytest.fixture
    def observations(self, codec: Codec) -> np.ndarray:
        draws = np.random.default_rng(0)
        return draws.standard_normal((12, codec.observation_size)).astype(np.float32)

    def test_it_has_a_name_that_lasts(self, agent: Agent, kind: Kind, codec: Codec, observations: np.ndarray) -> None:
        assert isinstance(agent, Agent)
        before = agent.id
        agent.act(observations[0])
        assert isinstance(before, str) and before
        assert agent.id == before == kind.make(codec).id

    @pytest.mark.parametrize("seeded", [False, True])
    def test_its_actions_are_the_worlds(
        self, agent: Agent, codec: Codec, observations: np.ndarray, seeded: bool
    ) -> None:
        for number, observation in enumerate(observations):
            action = agent.act(observation, seed=number if seeded else None)
            assert codec.action_space.contains(action), action

    def test_without_a_seed_it_does_the_same_again(self, kind: Kind, codec: Codec, observations: np.ndarray) -> None:
        one, other = kind.make(codec), kind.make(codec)
        assert _alike([one.act(o) for o in observations], [other.act(o) for o in observations])

    def test_a_seed_decides(self, kind: Kind, codec: Codec, observations: np.ndarray) -> None:
        def actions(first: int) -> list[Any]:
            agent = kind.make(codec)
            return [agent.act(observation, seed=first + n) for n, observation in enumerate(observations)]

        assert _alike(actions(0), actions(0))
        assert _alike(actions(0), actions(100)) != kind.explores

    def test_it_leaves_alone_what_it_is_given(self, agent: Agent, observations: np.ndarray) -> None:
        before = observations.copy()
        observations.flags.writeable = False
        for observation in observations:
            agent.act(observation)
        assert np.array_equal(observations, before)

    def test_it_does_not_touch_global_randomness(self, agent: Agent, observations: np.ndarray) -> None:
        np.random.seed(0)  # noqa: NPY002
        wanted = np.random.random()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        agent.act(observations[0], seed=1)
        assert np.random.random() == wanted  # noqa: NPY002

    def test_it_acts_through_an_episode(self, agent: Agent, codec: Codec) -> None:
        discrete = isinstance(codec.action_space, gym.spaces.Discrete)
        world = World(AnalyticEnv(discrete=discrete), {"steps": 1}).with_horizon(10)
        observation, _ = world.reset(seed=0)
        for _ in range(10):
            observation, _, terminated, truncated, _ = world.step(agent.act(observation))
            if terminated or truncated:
                break


def _alike(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
