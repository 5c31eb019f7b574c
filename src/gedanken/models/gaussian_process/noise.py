"""Noise that differs from design to design, where replicates show that it does.

The logarithm of a sample variance scatters around that of the true one by a known amount (Bartlett and Kendall 1946,
"The statistical analysis of variance-heterogeneity and the logarithmic transformation"). So the variances of designs
that were measured more than once are noisy observations of a smooth function, which a Gaussian process interpolates. It
is only believed where the variances differ by more than chance explains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import digamma, polygamma

from gedanken.models.gaussian_process.kernel import distances, matern
from gedanken.worlds.design import Group

_LEAST = 5
"""Designs with replicates, before a pattern is looked for."""
_LEVEL = 0.05
"""Of the test whether the variances are equal."""
_DRAWS = 2_000
"""Simulations behind its p-value."""


@dataclass(frozen=True, eq=False)
class NoiseShape:
    """The noise's standard deviation relative to its geometric mean over the replicated designs.

    x: [D, F], these designs. weights: [D], of the interpolation. length: the length scale of all parameters.
    """

    groups: tuple[Group, ...]
    x: np.ndarray
    weights: np.ndarray
    length: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[M, F] -> [M]; 1 far from all replicates."""
        return np.asarray(np.exp(0.5 * _kernel(self.groups, x, self.x, self.length) @ self.weights))


def noise_shape(
    groups: Sequence[Group], x: np.ndarray, y: np.ndarray, *, length: float, seed: int = 0
) -> NoiseShape | None:
    """What replicates say of the noise's shape; None where they are too few, or as equal as chance makes them.

    Args:
        groups: of the design space.
        x: [N, F] encoded designs; equal ones are replicates.
        y: [N] results.
        length: median of the prior of a length scale where there is one parameter.
        seed: of the test's simulations.
    """
    places, which = np.unique(x, axis=0, return_inverse=True)
    counts = np.bincount(which.ravel(), minlength=len(places))
    replicated = np.flatnonzero(counts > 1)
    if len(replicated) < _LEAST:
        return None
    variances = np.array([y[which.ravel() == place].var(ddof=1) for place in replicated])
    if not variances.any():
        return None
    # Equal to the last digit that was written down: as small as the smallest that can be told from that.
    variances = np.maximum(variances, variances[variances > 0].min())
    freedom = counts[replicated] - 1.0
    observed = np.log(variances) - _bias(freedom)
    doubt = polygamma(1, freedom / 2)
    differs = _excess(observed, doubt)
    rng = np.random.default_rng(seed)
    by_chance = np.log(rng.chisquare(freedom, (_DRAWS, len(freedom))) / freedom) - _bias(freedom)
    if np.mean(_excess(by_chance, doubt) >= differs) > _LEVEL:
        return None
    # DerSimonian and Laird 1986: the variance of the true ones, by moments.
    precision = 1.0 / doubt
    scale = precision.sum() - np.square(precision).sum() / precision.sum()
    between = max((float(differs) - (len(freedom) - 1)) / scale, 0.0)
    if between == 0.0:
        return None
    length = length * math.sqrt(len(groups))
    covariance = between * _kernel(groups, places[replicated], places[replicated], length) + np.diag(doubt)
    factor = cho_factor(covariance)
    ones = cho_solve(factor, np.ones(len(observed)))
    level = float(ones @ observed / ones.sum())
    weights = between * cho_solve(factor, observed - level)
    return NoiseShape(tuple(groups), places[replicated], weights, length)


def _bias(freedom: np.ndarray) -> np.ndarray:
    """What the expected logarithm of a sample variance differs by from that of the true one."""
    return np.asarray(digamma(freedom / 2) - np.log(freedom / 2))


def _excess(observed: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """[..., D], [D] -> [...]: Cochran's Q, the weighted squares around the weighted mean."""
    precision = 1.0 / doubt
    middle = (observed * precision).sum(-1, keepdims=True) / precision.sum()
    return np.asarray((np.square(observed - middle) * precision).sum(-1))


def _kernel(groups: Sequence[Group], one: np.ndarray, other: np.ndarray, length: float) -> np.ndarray:
    return matern(distances(groups, one, other).sum(0) / length**2)
