"""What earlier campaigns say of a new one: their expected results as a trend that the new results may follow or not.

The new function is a constant, plus the earlier ones' standardised means times coefficients that add up to one before
anything is known, plus a Gaussian process (a linear model with a Gaussian prior on its coefficients; Rasmussen and
Williams 2006, 2.7). Where the earlier campaigns mislead, results pull the coefficients to 0 or below, and processes
without the trend win by their evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

_FREEDOM = 0.5
"""Standard deviation of an earlier campaign's coefficient."""
_LEVEL = 1.0
"""Standard deviation of the constant, in units of the standardised results."""


class Linear(Protocol):
    """Something linear that is added to a process: features, and a Gaussian prior of their coefficients.

    scale: a standard deviation of results that is thought of before there are many.
    """

    @property
    def scale(self) -> float: ...

    @property
    def mean(self) -> np.ndarray: ...

    @property
    def std(self) -> np.ndarray: ...

    def features(self, x: np.ndarray) -> np.ndarray:
        """[M, F] -> [M, P]."""

    def covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Features [N, P] and [M, P] -> [N, M]: what the coefficients' doubt adds to the covariance."""


class Expected(Protocol):
    """What an earlier campaign expects of encoded designs [M, F]: [M] standardised results, of which more is better."""

    def __call__(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Trend:
    """The earlier campaigns, of which there is one or more, and the standard deviation that their results had."""

    earlier: tuple[Expected, ...]
    scale: float

    def features(self, x: np.ndarray) -> np.ndarray:
        """[M, F] -> [M, 1 + S]: a constant, and what each earlier campaign expects."""
        return np.stack([np.ones(len(x)), *(expected(x) for expected in self.earlier)], axis=1)

    @property
    def mean(self) -> np.ndarray:
        """[1 + S]: of the coefficients, before anything is known."""
        count = len(self.earlier)
        found: np.ndarray = np.r_[0.0, np.full(count, 1.0 / count)]
        return found

    @property
    def std(self) -> np.ndarray:
        """[1 + S]: likewise."""
        found: np.ndarray = np.r_[_LEVEL, np.full(len(self.earlier), _FREEDOM)]
        return found

    def covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Features [N, 1 + S] and [M, 1 + S] -> [N, M]: what the coefficients' doubt adds to the covariance."""
        found: np.ndarray = (one * np.square(self.std)) @ other.T
        return found
