"""A world that answers from a table: the measurement that was made there, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.errors import ConfigError
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.experiment import ExperimentEnv, ExperimentPrices, ExperimentWorld, experiment_world
from gedanken.worlds.science.table import MeasuredTable


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


class MeasuredEnv(ExperimentEnv):
    """The table as an environment. Among replicates, the seed of the reset decides. Nothing is interpolated."""

    def __init__(self, table: MeasuredTable) -> None:
        self.table = table
        actions = MeasuredDesigns(table.space, table.pool)
        super().__init__(table.space, table.objectives, pool=table.pool, action_space=actions)

    def measure(self, design: Design, rng: np.random.Generator) -> np.ndarray:
        rows = self.rows(design)
        found: np.ndarray = self.table.results[rows[int(rng.integers(len(rows)))]]
        return found

    def check(self, design: Design) -> None:
        self.rows(design)

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
                expected=f"one of its {len(self.pool or ())} designs",
                do="choose from the world's `pool`.",
            )
        return found


def measured_world(table: MeasuredTable, *, prices: ExperimentPrices | None = None) -> ExperimentWorld:
    """The world of a table. A design that is not in it is refused before anything is paid."""
    return experiment_world(MeasuredEnv(table), table.name, prices)
