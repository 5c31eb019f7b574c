"""A world that answers from a table: the measurement that was made there, or a refusal.

An experiment is an episode of one step. Its action is a design, its reward the first objective (turned round where less
is better), its observation all objectives. Nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.worlds.science.design import DesignSpace
from gedanken.worlds.science.parameters import Design
from gedanken.worlds.science.table import MeasuredTable
from gedanken.worlds.science.trials import Objective
from gedanken.worlds.world import World


class MeasuredDesigns(gym.spaces.Dict):
    """The action space of a design space, whose samples are designs that were measured."""

    def __init__(self, space: DesignSpace, pool: Sequence[Design]) -> None:
        super().__init__(space.action_space().spaces, sort_keys=False)
        self._actions = [space.to_action(design) for design in pool]

    def sample(self, mask: Any = None, probability: Any = None) -> dict[str, Any]:
        """One of the measured designs, each with the same chance."""
        if mask is not None or probability is not None:
            raise ConfigError("Measured designs are drawn with equal chances.", given="a mask or probabilities")
        return dict(self._actions[int(self.np_random.integers(len(self._actions)))])


class MeasuredEnv(gym.Env[dict[str, Any], dict[str, Any]]):
    """The table as an environment.

    The observation says which objectives are `measured` and their `values`, [K] float64; a value that was not measured
    is to be ignored. Among replicates, the seed of the reset decides.
    """

    def __init__(self, table: MeasuredTable) -> None:
        self.table = table
        self.space: DesignSpace = table.space
        self.objectives: tuple[Objective, ...] = table.objectives
        self.pool: tuple[Design, ...] = table.pool
        count = len(self.objectives)
        self.action_space = MeasuredDesigns(self.space, self.pool)
        self.observation_space = gym.spaces.Dict(
            {
                "measured": gym.spaces.MultiBinary(count),
                "values": gym.spaces.Box(-np.inf, np.inf, (count,), np.float64),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed, options=options)
        count = len(self.objectives)
        return {"measured": np.zeros(count, np.int8), "values": np.zeros(count)}, {}

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        rows = self.rows(self.space.from_action(action))
        values = self.table.results[rows[int(self.np_random.integers(len(rows)))]]
        answer = {"measured": np.ones(len(values), np.int8), "values": values.copy()}
        return answer, float(self.objectives[0].sign * values[0]), True, False, {"success": True}

    def rows(self, design: Design) -> list[int]:
        """The table's rows of a design.

        Raises:
            ConfigError: it was never measured.
        """
        found = self.table.replicates.get(self.table.place(design))
        if found is None:
            raise ConfigError(
                f"The table {self.table.name!r} has no such experiment.",
                given=dict(design),
                expected=f"one of its {len(self.pool)} designs",
                do="choose from the world's `pool`.",
            )
        return found


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


def measured_world(
    table: MeasuredTable, *, prices: Mapping[str, int] | Callable[[Design], Mapping[str, int]] | None = None
) -> ExperimentWorld:
    """The world of a table.

    Args:
        table: what was measured.
        prices: of an experiment, in whole minor units by resource, or a function of its design; by default one of
            `experiments`. A design that is not in the table is refused before anything is paid.
    """
    env = MeasuredEnv(table)
    fixed = prices if prices is not None else {"experiments": 1}

    def price(action: Any) -> Cost:
        design = env.space.from_action(action)
        env.rows(design)
        return Cost(fixed(design) if callable(fixed) else fixed)

    return ExperimentWorld(env, price, name=f"science/{table.name}", unit="step")
