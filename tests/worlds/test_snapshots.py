"""A world that was put back goes on exactly as it did."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gedanken.errors import ConfigError, WorldError
from gedanken.worlds import robotics
from gedanken.worlds.world import World
from tests.worlds.envs import Scripted

WORLDS = ["Hopper-v5", "Pendulum-v1", "CartPole-v1", "Humanoid-v5", "Reacher-v5", "Ant-v5", "MountainCar-v0"]


def walk(world: World, actions: list[Any]) -> list[Any]:
    """What the world answers to these actions, with a reset wherever an episode ends."""
    answers = []
    for action in actions:
        observation, reward, terminated, truncated, _ = world.step(action)
        answers.append((observation.tolist(), reward, terminated, truncated))
        if terminated or truncated:
            answers.append(world.reset()[0].tolist())
    return answers


@pytest.mark.parametrize("name", WORLDS)
def test_a_restored_world_answers_the_same_bit_for_bit(name: str) -> None:
    world = robotics.make(name)
    world.action_space.seed(0)
    actions = [world.action_space.sample() for _ in range(120)]
    world.reset(seed=1)
    walk(world, actions[:40])
    snapshot = world.snapshot()
    first = walk(world, actions[40:])
    for _ in range(2):
        world.restore(snapshot)
        assert walk(world, actions[40:]) == first
    other = robotics.make(name)
    other.reset(seed=99)
    other.restore(snapshot)
    assert walk(other, actions[40:]) == first, "another world of the same make"


@pytest.mark.parametrize("name", ["Hopper-v5", "Pendulum-v1", "CartPole-v1"])
def test_the_steps_counted_so_far_are_put_back(name: str) -> None:
    world = World(gym.make(name, max_episode_steps=6), {"steps": 1}).with_horizon(4)
    world.action_space.seed(0)
    action = world.action_space.sample()
    world.reset(seed=0)
    world.step(action)
    snapshot = world.snapshot()
    for _ in range(3):
        world.restore(snapshot)
        assert [world.step(action)[3] for _ in range(3)] == [False, False, True]
        with pytest.raises(ConfigError, match="outside an episode"):
            world.step(action)


def test_an_env_with_its_own_snapshots_is_asked() -> None:
    class Own(Scripted):
        def snapshot(self) -> int:
            return self.steps

        def restore(self, steps: int) -> None:
            self.steps = steps

    world = World(Own(5), {"steps": 1})
    world.reset()
    world.step(np.zeros(1))
    snapshot = world.snapshot()
    world.step(np.zeros(1))
    world.restore(snapshot)
    assert world.step(np.zeros(1))[0].tolist() == [2, 2]


def test_worlds_that_cannot_say_why() -> None:
    world = World(Scripted(), {"steps": 1})
    world.reset()
    with pytest.raises(WorldError, match="Scripted cannot be snapshotted.*snapshot\\(\\) and restore"):
        world.snapshot()
    world = World(gym.wrappers.NormalizeObservation(gym.make("CartPole-v1")), {"steps": 1})
    world.reset()
    with pytest.raises(WorldError, match="NormalizeObservation holds a state that cannot be put back.*obs_rms"):
        world.snapshot()


def test_a_snapshot_of_another_world_is_refused() -> None:
    hopper, pole = robotics.make("Hopper-v5"), robotics.make("CartPole-v1")
    hopper.reset(seed=0)
    pole.reset(seed=0)
    before = walk(pole, [1, 1])
    pole.reset(seed=0)
    with pytest.raises(WorldError, match="built otherwise"):
        pole.restore(hopper.snapshot())
    with pytest.raises(WorldError, match="built otherwise"):
        World("Pendulum-v1", {"steps": 1}).restore(pole.snapshot())
    assert walk(pole, [1, 1]) == before, "nothing was changed"


def test_every_episode_of_a_forked_world_begins_where_the_snapshot_was_taken() -> None:
    world = robotics.make("Pendulum-v1")
    world.action_space.seed(0)
    actions = [world.action_space.sample() for _ in range(20)]
    world.reset(seed=1)
    walk(world, actions[:5])
    seen = world.step(actions[5])[0]
    snapshot = world.snapshot()
    first = walk(world, actions[6:])
    fork = world.forked(snapshot, seen)
    with pytest.raises(ConfigError, match="outside an episode"):
        fork.step(actions[6])
    for seed in (None, 3):
        observation, info = fork.reset(seed=seed)
        assert np.array_equal(observation, seen) and info["cost"] == {}
        observation[:] = 0  # what is handed out is the caller's
        assert walk(fork, actions[6:]) == first
    assert not np.array_equal(world.reset(seed=1)[0], seen), "the world itself is as it was"


def test_a_world_is_not_forked_behind_its_end() -> None:
    world = World(Scripted(2), {"steps": 1})
    world.env.snapshot, world.env.restore = (lambda: None), (lambda _: None)
    world.reset()
    world.step(np.zeros(1))
    observation = world.step(np.zeros(1))[0]
    with pytest.raises(ConfigError, match="episode is over"):
        world.forked(world.snapshot(), observation)
