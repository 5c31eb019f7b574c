"""Worlds in which an action is an experiment: an episode of one step.

Its action is a design, its reward the first objective (turned round where less is better), its observation all
objectives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import gymnasium as gym
import numpy as np

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.trials import Objective
from gedanken.worlds.world import World

ExperimentPrices = Mapping[str, int] | Callable[[Design], Mapping[str, int]]
"""What an experiment costs, in whole minor units by resource, or a function of its design."""


class ExperimentEnv(gym.Env[dict[str, Any], dict[str, Any]], ABC):
    """Experiments as an environment.

    The observation says which objectives are `measured` and their `values`, [K] float64; a value that was not measured
    is to be ignored. What is random in a measurement comes from the seed of the reset.
    """

    def __init__(
        self,
        space: DesignSpace,
        objectives: tuple[Objective, ...],
        *,
        pool: tuple[Design, ...] | None = None,
        action_space: gym.Space[dict[str, Any]] | None = None,
    ) -> None:
        self.space, self.objectives, self.pool = space, objectives, pool
        count = len(objectives)
        self.action_space = space.action_space() if action_space is None else action_space
        self.observation_space = gym.spaces.Dict(
            {
                "measured": gym.spaces.MultiBinary(count),
                "values": gym.spaces.Box(-np.inf, np.inf, (count,), np.float64),
            }
        )

    @abstractmethod
    def measure(self, design: Design, rng: np.random.Generator) -> np.ndarray:
        """[K]: one measurement of every objective."""

    def check(self, design: Design) -> None:
        """Refuses what cannot be done, before it is paid for.

        Raises:
            ConfigError: the design is within its bounds, but this world has no such experiment.
        """
        del design

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed, options=options)
        count = len(self.objectives)
        return {"measured": np.zeros(count, np.int8), "values": np.zeros(count)}, {}

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        values = self.measure(self.space.from_action(action), self.np_random)
        answer = {"measured": np.ones(len(values), np.int8), "values": np.array(values, np.float64)}
        return answer, float(self.objectives[0].sign * values[0]), True, False, {"success": True}


class ExperimentWorld(World):
    """A world of experiments, which also says what can be set, what is measured, and which designs there are."""

    @property
    def space(self) -> DesignSpace:
        """What can be set."""
        found: DesignSpace = self.env.get_wrapper_attr("space")
        return found

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured; the first one is the reward."""
        found: tuple[Objective, ...] = self.env.get_wrapper_attr("objectives")
        return found

    @property
    def max_episode_steps(self) -> int:
        """One: an experiment ends with its result."""
        return 1

    def with_horizon(self, steps: int) -> Self:
        """The same world.

        Raises:
            ConfigError: `steps` is not 1.
        """
        if steps != 1:
            raise ConfigError("An experiment is an episode of one step.", given=steps, expected=1)
        return self

    @property
    def pool(self) -> tuple[Design, ...] | None:
        """The designs that can be done, where they can be listed."""
        found: tuple[Design, ...] | None = self.env.get_wrapper_attr("pool")
        return found


def experiment_world(
    env: ExperimentEnv, name: str, prices: ExperimentPrices | None = None, *, room: str = "science"
) -> ExperimentWorld:
    """The world of an env; by default one of `experiments` each. What the env refuses is refused before it is paid."""
    fixed = prices if prices is not None else {"experiments": 1}

    def price(action: Any) -> Cost:
        design = env.space.from_action(action)
        env.check(design)
        return Cost(fixed(design) if callable(fixed) else fixed)

    return ExperimentWorld(env, price, name=f"{room}/{name}", unit="step")
