"""Worlds in which an action is an experiment: measured tables that ship with the library, and anybody's own."""

from __future__ import annotations

from typing import Any

from gedanken.worlds.science.measured import ExperimentWorld, measured_world
from gedanken.worlds.science.table import shipped


def make(name: str, **options: Any) -> ExperimentWorld:
    """The world of a measured table that ships with the library.

    Raises:
        ConfigError: there is none of this name.
    """
    return measured_world(shipped(name), **options)
