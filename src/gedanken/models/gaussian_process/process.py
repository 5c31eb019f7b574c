"""One Gaussian process: exact regression at given hyperparameters (Rasmussen and Williams 2006, algorithm 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from gedanken.models.gaussian_process.density import JITTER, Hyperparameters
from gedanken.models.gaussian_process.kernel import distances, matern
from gedanken.worlds.science.design import Group


class Belief(NamedTuple):
    """What is thought of M designs: mean [M], and standard deviations [M] in the units of the results.

    epistemic: of the mean that many replicates would have. aleatoric: of one replicate around it.
    """

    mean: np.ndarray
    epistemic: np.ndarray
    aleatoric: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """[M]: of the next result."""
        found: np.ndarray = np.hypot(self.epistemic, self.aleatoric)
        return found


@dataclass(frozen=True, eq=False)
class Process:
    """A process that has seen N results. `factor`, `weights`: of algorithm 2.1. mean, scale: of the results."""

    groups: tuple[Group, ...]
    x: np.ndarray
    hyperparameters: Hyperparameters
    factor: np.ndarray
    weights: np.ndarray
    mean: float
    scale: float

    @classmethod
    def of(cls, groups: Sequence[Group], x: np.ndarray, y: np.ndarray, hyperparameters: Hyperparameters) -> Self:
        """Conditions on encoded designs [N, F] and results [N]."""
        mean, scale = float(y.mean()), float(y.std()) or 1.0
        covariance = _prior(hyperparameters, distances(groups, x, x))
        covariance[np.diag_indices_from(covariance)] += hyperparameters.noise**2 + JITTER
        factor = cholesky(covariance, lower=True, check_finite=False)
        weights = cho_solve((factor, True), (y - mean) / scale, check_finite=False)
        return cls(tuple(groups), x, hyperparameters, factor, weights, mean, scale)

    def predict(self, x: np.ndarray) -> Belief:
        """[M, F] -> what to expect there."""
        cross = _prior(self.hyperparameters, distances(self.groups, self.x, x))
        explained = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = np.maximum(self.hyperparameters.signal**2 - np.square(explained).sum(0), 1e-12)
        return Belief(
            self.mean + self.scale * (cross.T @ self.weights),
            self.scale * np.sqrt(variance),
            np.full(len(x), self.scale * self.hyperparameters.noise),
        )

    def draw(self, x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """[M, F] -> [count, M]: functions drawn from the posterior, without noise."""
        cross = _prior(self.hyperparameters, distances(self.groups, self.x, x))
        explained = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        covariance = _prior(self.hyperparameters, distances(self.groups, x, x)) - explained.T @ explained
        root = cholesky(covariance + 1e-6 * np.eye(len(x)), lower=True, check_finite=False)
        around = root @ rng.standard_normal((len(x), count))
        drawn: np.ndarray = self.mean + self.scale * ((cross.T @ self.weights)[:, None] + around).T
        return drawn


def _prior(hyperparameters: Hyperparameters, by_group: np.ndarray) -> np.ndarray:
    """[G, N, M] -> [N, M]: the prior covariance of the function's values."""
    length, signal, _ = hyperparameters
    return signal**2 * matern(np.tensordot(length**-2, by_group, 1))
