"""Worlds in which an action is an experiment: measured tables, shipped or anybody's own, and computed reactions."""

from __future__ import annotations

from typing import Any

from gedanken.errors import ConfigError
from gedanken.worlds.science.experiment import ExperimentWorld
from gedanken.worlds.science.kinetics import REACTIONS, reaction_world
from gedanken.worlds.science.measured import measured_world
from gedanken.worlds.science.priced import PRICES
from gedanken.worlds.science.table import catalogue, shipped


def make(name: str, **options: Any) -> ExperimentWorld:
    """The world of a measured table or of a reaction that ships with the library.

    Raises:
        ConfigError: there is none of this name.
    """
    if name in REACTIONS:
        return reaction_world(name, **options)
    if name not in catalogue():
        raise ConfigError("There is no such table.", given=repr(name), expected=", ".join([*catalogue(), *REACTIONS]))
    return measured_world(shipped(name), **{"prices": PRICES.get(name), **options})
