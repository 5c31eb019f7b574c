"""How alike two designs are: one Matern kernel over the distances that each parameter contributes.

Numbers contribute their squared difference in the encoded unit interval. Choices contribute 1 where they differ, or,
where features of their levels are known, the mean squared difference of these. Each parameter's contribution is divided
by its squared length scale, so that a long one means that the parameter hardly matters.

Everything is float64 and NumPy: with some hundred experiments nothing takes longer than starting a compiled program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gedanken.worlds.design import Group

_ROOT_5 = math.sqrt(5.0)


def distances(groups: Sequence[Group], one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N, F], [M, F] -> [G, N, M]: the squared distance that each parameter contributes at a length scale of 1."""
    return np.stack([_distance(group, one, other) for group in groups])


def _distance(group: Group, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    left, right = one[:, group.start : group.stop], other[:, group.start : group.stop]
    found: np.ndarray
    if group.kind == "numeric":
        found = np.square(left - right.T)
        return found
    if group.features is None:
        found = 1.0 - left @ right.T
        return found
    left, right = left @ group.features, right @ group.features
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2.0 * left @ right.T
    found = np.maximum(squares, 0.0) / group.features.shape[1]
    return found


def matern(squares: np.ndarray) -> np.ndarray:
    """Matern's correlation with smoothness 5/2 at squared scaled distances (Rasmussen and Williams 2006, 4.17)."""
    r = _ROOT_5 * np.sqrt(squares)
    correlation: np.ndarray = (1.0 + r + r * r / 3.0) * np.exp(-r)
    return correlation


def matern_slope(squares: np.ndarray) -> np.ndarray:
    """Its derivative by the squared scaled distance, which is finite at 0."""
    r = _ROOT_5 * np.sqrt(squares)
    slope: np.ndarray = -5.0 / 6.0 * (1.0 + r) * np.exp(-r)
    return slope
