"""A smooth stand-in for a measured table, which answers anywhere in its design space. It is a model and no measurement.

The likeliest Gaussian process of each objective gives the mean, and its learned noise that of one measurement. Its
worlds are a room of their own, `science_emulated`, so that no record of them can be taken for one of real experiments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gedanken.models.gaussian_process.average import GaussianProcessConfig, fit_gaussian_process
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.experiment import ExperimentEnv, ExperimentPrices, ExperimentWorld, experiment_world
from gedanken.worlds.science.priced import PRICES
from gedanken.worlds.science.table import MeasuredTable, shipped


class EmulatedEnv(ExperimentEnv):
    """The table's model as an environment."""

    def __init__(self, table: MeasuredTable) -> None:
        super().__init__(table.space, table.objectives)
        x, config = table.space.encode(table.designs), GaussianProcessConfig(scales=("each",), draws=1)
        self._processes = [
            fit_gaussian_process(table.space.groups, x, table.results[:, k], config=config, seed=0)
            for k in range(len(table.objectives))
        ]

    def measure(self, design: Design, rng: np.random.Generator) -> np.ndarray:
        beliefs = [process.predict(self.space.encode([design])) for process in self._processes]
        return np.array([float(belief.mean[0] + belief.aleatoric[0] * rng.standard_normal()) for belief in beliefs])


def emulated_world(table: MeasuredTable, *, prices: ExperimentPrices | None = None) -> ExperimentWorld:
    """The world of a table's model."""
    return experiment_world(EmulatedEnv(table), table.name, prices, room="science_emulated")


def make(name: str, **options: Any) -> ExperimentWorld:
    """The emulator of a table that ships with the library.

    Raises:
        ConfigError: there is none of this name.
    """
    return emulated_world(shipped(name), **{"prices": PRICES.get(name), **options})
