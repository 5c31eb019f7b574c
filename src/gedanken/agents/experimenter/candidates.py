"""Which experiments can still be suggested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gedanken.errors import ConfigError
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Continuous, Design
from gedanken.worlds.science.fidelity import FULL
from gedanken.worlds.science.trials import Objective, Trial, TrialState

_FREE = (TrialState.CANDIDATE, TrialState.FAILED, TrialState.STALE)
"""Of a design whose trials are all in these states, another may be suggested."""
_NEAR = 0.05
"""Standard deviation of steps around good designs, in the encoded unit interval."""


def candidates(
    space: DesignSpace,
    trials: Sequence[Trial],
    pool: Sequence[Design] | None,
    *,
    around: Sequence[Design] = (),
    count: int = 2_048,
    seed: int,
) -> list[Design]:
    """The designs that may be suggested now.

    Args:
        space: what can be set.
        trials: all there are.
        pool: what can be done. None: `count` designs spread over the space, and as many near those of `around`.
        around: good designs.
        count: see `pool`.
        seed: of the spread.
    """
    # What was tried coarsely may still be tried for real.
    taken = {
        place(space, trial.design)
        for trial in trials
        if trial.state not in _FREE and (trial.fidelity == FULL or trial.state is TrialState.ABANDONED)
    }
    if pool is None:
        drawn = space.draw(count, seed=seed) + _near(space, around, count, np.random.default_rng(seed))
        pool = [tidied for design in drawn if space.allows(tidied := _tidy(space, design))]
    found: dict[Any, Design] = {}
    for design in pool:
        where = place(space, design)
        if where not in taken:
            found.setdefault(where, design)
    return list(found.values())


def place(space: DesignSpace, design: Design) -> tuple[Any, ...]:
    """What tells a design from others: its values, numbers to nine digits."""
    values = (design[name] for name in space.names)
    return tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in values)


def check_asked(objectives: Sequence[Objective], count: int) -> None:
    """Refuses what no planner can do.

    Raises:
        ConfigError: there is no objective, or `count` is below 1.
    """
    if not objectives:
        raise ConfigError("Nothing is measured, so there is nothing to plan by.", expected="one objective or more")
    if count < 1:
        raise ConfigError("Not a number of experiments.", given=count, expected="1 or more")


def _tidy(space: DesignSpace, design: Design) -> Design:
    """With numbers that somebody can set: to a thousandth of their range, or to three digits where ratios count."""
    tidied = dict(design)
    for parameter in space.parameters:
        if isinstance(parameter, Continuous):
            value = float(design[parameter.name])
            step = 10.0 ** math.floor(math.log10((value if parameter.log else parameter.high - parameter.low) / 1e3))
            rounded = round(value / step) * step
            tidied[parameter.name] = min(max(float(f"{rounded:.9g}"), parameter.low), parameter.high)
    return tidied


def _near(space: DesignSpace, around: Sequence[Design], count: int, rng: np.random.Generator) -> list[Design]:
    """Designs a small step from good ones: numbers moved a little, now and then another choice."""
    if not around:
        return []
    rows = np.repeat(space.encode(around), -(-count // len(around)), 0)
    moved = rows + _NEAR * rng.standard_normal(rows.shape)
    for group in space.groups:
        if group.kind == "category":
            other = rng.integers(group.stop - group.start, size=len(rows))
            changed = rng.random(len(rows)) < 0.1
            moved[:, group.start : group.stop] = rows[:, group.start : group.stop]
            moved[changed, group.start : group.stop] = np.eye(group.stop - group.start)[other[changed]]
    return [design for design in map(space.decode, moved) if space.allows(design)]
