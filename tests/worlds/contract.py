"""What every world must do. A new one is tested by adding one `Subject` to `SUBJECTS`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gedanken.errors import ConfigError, WorldError
from gedanken.experience.codec import Codec
from gedanken.experience.cost import Cost
from gedanken.worlds.registry import make
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv
from tests.worlds.envs import Scripted
from tests.worlds.ml_engineering.tasks import three_programs


@dataclass(frozen=True)
class Subject:
    """A world under test. `make` builds the same world at each call; its episodes are limited."""

    name: str
    make: Callable[[], World]
    vectors: bool = True
    """whether numeric models can serve it"""
    measured: tuple[str, ...] = ()
    """what it observes of the machine, by the clock, as it then does its costs: they are never twice the same"""
    steps: int = 40
    """how many are lived through to find out whether the seed decides"""


SUBJECTS = [
    Subject("Pendulum-v1", lambda: make("Pendulum-v1")),
    Subject("CartPole-v1", lambda: make("CartPole-v1")),
    Subject("InvertedPendulum-v5", lambda: make("robotics/InvertedPendulum-v5")),
    Subject("Hopper-v5", lambda: make("Hopper-v5")),
    Subject("FrozenLake-v1", lambda: make("FrozenLake-v1")),
    Subject("a measured table", lambda: make("science/fullerenes"), vectors=False),
    Subject("a reaction", lambda: make("science/coupling_1"), vectors=False),
    Subject("an emulated table", lambda: make("science_emulated/snar"), vectors=False),
    Subject("a process", lambda: make("process_control/stirred_tank")),
    Subject("attempts", three_programs, vectors=False, measured=("seconds",), steps=7),
    Subject("analytic", lambda: World(AnalyticEnv(), {"steps": 1, "micro_usd": 5}).with_horizon(20)),
    Subject("choices", lambda: World(AnalyticEnv(discrete=True), {"steps": 2}, unit="step").with_horizon(20)),
    Subject("paid reset", lambda: World(Scripted(), {"steps": 1}, free_reset=False, unit=3).with_horizon(4)),
]


def lived(subject: Subject, seed: int) -> list[Any]:
    """Everything that some random steps bring but for what is measured; episodes follow each other."""
    world = subject.make()
    world.action_space.seed(seed)
    told: list[Any] = arrays(world.reset(seed=seed)[0], subject)
    for _ in range(subject.steps):
        observation, reward, terminated, truncated, info = world.step(world.action_space.sample())
        cost = [] if subject.measured else [info["cost"]]
        told += [*arrays(observation, subject), reward, terminated, truncated, *cost]
        if terminated or truncated:
            told += arrays(world.reset()[0], subject)
    return told


def arrays(observation: Any, subject: Subject) -> list[Any]:
    """An observation, or its parts but for what is measured."""
    parts = observation if isinstance(observation, dict) else {"": observation}
    assert set(subject.measured) <= set(parts)
    return [np.array(part) for name, part in parts.items() if name not in subject.measured]


class Unmeasured(gym.Wrapper[Any, Any, Any, Any]):
    """A world of which nothing is seen that was measured, so that Gymnasium finds the rest to be deterministic."""

    def __init__(self, world: World, subject: Subject) -> None:
        super().__init__(world)
        self.subject = subject

    def step(self, action: Any) -> Any:
        observation, *judged, info = super().step(action)
        still = {name: np.zeros_like(observation[name]) for name in self.subject.measured}
        return observation | still, *judged, {name: value for name, value in info.items() if name != "cost"}


def alike(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class WorldContract:
    """Subclass it and give the fixture `subject`, or see tests/worlds/test_contract.py."""

    @pytest.fixture
    def world(self, subject: Subject) -> Any:
        world = subject.make()
        yield world
        world.close()

    def test_it_is_a_gymnasium_env(self, world: World, subject: Subject) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # check_env warns that a wrapped env is wrapped, and of infinite bounds
            check_env(Unmeasured(world, subject) if subject.measured else world, skip_render_check=True)

    def test_it_has_a_name_an_end_and_a_price(self, world: World, subject: Subject) -> None:
        assert world.name == subject.make().name
        assert world.max_episode_steps is not None and world.max_episode_steps >= 1
        assert world.unit_steps >= 1
        price = world.price(world.action_space.sample())
        assert isinstance(price, Cost) and sum(price.values()) > 0

    def test_the_seed_decides(self, subject: Subject) -> None:
        one, again, other = (lived(subject, seed) for seed in (3, 3, 4))
        assert alike(one, again)
        assert len(one) != len(other) or not alike(one, other)

    def test_what_a_step_costs_is_told_and_never_above_its_price(self, world: World) -> None:
        _, info = world.reset(seed=0)
        assert (info["cost"] == {}) == world.free_reset
        for _ in range(10):
            action = world.action_space.sample()
            price = world.price(action)
            *_, terminated, truncated, info = world.step(action)
            assert info["cost"] and all(amount <= price.of(name) for name, amount in info["cost"].items())
            if terminated or truncated:
                world.reset()

    def test_observations_rewards_and_ends_are_what_they_should_be(self, world: World) -> None:
        observation, _ = world.reset(seed=1)
        for _ in range(world.max_episode_steps or 0):
            assert world.observation_space.contains(observation)
            observation, reward, terminated, truncated, _ = world.step(world.action_space.sample())
            assert isinstance(reward, float) and np.isfinite(reward)
            assert type(terminated) is type(truncated) is bool
            if terminated or truncated:
                break
        assert terminated or truncated

    def test_outside_an_episode_nothing_is_done(self, world: World) -> None:
        with pytest.raises(ConfigError, match="outside an episode"):
            world.step(world.action_space.sample())

    def test_an_action_that_is_none_is_refused_before_anything_is_done(self, world: World) -> None:
        world.reset(seed=0)
        for wrong in ("left", None, np.full((7, 7), np.nan), 10**6):
            with pytest.raises(ConfigError, match="not one of world"):
                world.step(wrong)
        world.step(world.action_space.sample())

    def test_a_shorter_horizon_truncates(self, world: World) -> None:
        if world.max_episode_steps == 1:
            with pytest.raises(ConfigError):
                world.with_horizon(2)
            return
        short = world.with_horizon(2)
        assert short.max_episode_steps == 2
        short.reset(seed=0)
        *_, terminated, truncated, _ = short.step(short.action_space.sample())
        if not terminated:
            assert not truncated
            *_, terminated, truncated, _ = short.step(short.action_space.sample())
            assert terminated or truncated
        with pytest.raises(ConfigError):
            world.with_horizon(0)

    def test_a_snapshot_brings_back_the_same_or_is_refused(self, world: World, subject: Subject) -> None:
        world.reset(seed=5)
        world.action_space.seed(0)
        actions = [world.action_space.sample() for _ in range(2)]
        try:
            snapshot = world.snapshot()
        except WorldError:
            return  # a world that cannot be put back says so
        first = world.step(actions[0])
        world.restore(snapshot)
        again = world.step(actions[0])
        assert alike([*arrays(first[0], subject), *first[1:4]], [*arrays(again[0], subject), *again[1:4]])

    def test_its_spaces_can_be_encoded(self, world: World, subject: Subject) -> None:
        if not subject.vectors:
            return
        codec = Codec(world.observation_space, world.action_space)
        observation, _ = world.reset(seed=0)
        assert codec.encode_observations(observation).shape == (codec.observation_size,)
        action = world.action_space.sample()
        back = codec.decode_action(codec.encode_actions(np.asarray(action)))
        assert world.action_space.contains(back)
        np.testing.assert_allclose(back, action, atol=1e-4)
