"""One Gaussian process: exact regression at given hyperparameters (Rasmussen and Williams 2006, algorithm 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from gedanken.models.gaussian_process.density import JITTER, Hyperparameters
from gedanken.models.gaussian_process.kernel import matern
from gedanken.models.gaussian_process.trend import Linear


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


class Places(NamedTuple):
    """M designs as a process sees them.

    across: [G, N, M], distances to its own designs. features: [M, P] of its trend; without one, P is 0. relative: [M],
    the noise there, relative to the process's.
    """

    across: np.ndarray
    features: np.ndarray
    relative: np.ndarray


@dataclass(frozen=True, eq=False)
class Process:
    """A process that has seen N results.

    Attributes:
        hyperparameters: of its kernel and noise.
        trend: what earlier campaigns say; None where none are asked. own: [N, P], its features of the N designs.
        factor, weights: of algorithm 2.1.
        mean, scale: what the results were standardised by.
    """

    hyperparameters: Hyperparameters
    trend: Linear | None
    own: np.ndarray
    factor: np.ndarray
    weights: np.ndarray
    mean: float
    scale: float

    @classmethod
    def of(
        cls,
        by_group: np.ndarray,
        y: np.ndarray,
        hyperparameters: Hyperparameters,
        *,
        mean: float,
        scale: float,
        trend: Linear | None = None,
        own: np.ndarray | None = None,
        shape: np.ndarray | float = 1.0,
    ) -> Self:
        """Conditions on the distances [G, N, N] of designs and their results [N], of relative noise `shape` [N]."""
        own = np.zeros((len(y), 0)) if trend is None or own is None else own
        covariance = _kernel(hyperparameters, by_group)
        standard = (y - mean) / scale
        if trend is not None:
            covariance += trend.covariance(own, own)
            standard = standard - own @ trend.mean
        covariance[np.diag_indices_from(covariance)] += np.square(hyperparameters.noise * np.asarray(shape)) + JITTER
        factor = cholesky(covariance, lower=True, check_finite=False)
        weights = cho_solve((factor, True), standard, check_finite=False)
        return cls(hyperparameters, trend, own, factor, weights, mean, scale)

    def predict(self, places: Places) -> Belief:
        """What to expect there."""
        cross, middle = self._cross(places)
        explained = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        before = self.hyperparameters.signal**2
        if self.trend is not None:
            before = before + np.square(places.features * self.trend.std).sum(1)
        variance = np.maximum(before - np.square(explained).sum(0), 1e-12)
        return Belief(
            self.mean + self.scale * middle,
            self.scale * np.sqrt(variance),
            self.scale * self.hyperparameters.noise * places.relative,
        )

    def draw(self, places: Places, among: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[M]: one function drawn from the posterior, without noise. among: [G, M, M], distances of the places."""
        _, middle = self._cross(places)
        covariance = self.covariance(places, among) / self.scale**2
        root = cholesky(covariance + 1e-6 * np.eye(len(middle)), lower=True, check_finite=False)
        drawn: np.ndarray = self.mean + self.scale * (middle + root @ rng.standard_normal(len(middle)))
        return drawn

    def covariance(self, places: Places, among: np.ndarray) -> np.ndarray:
        """[M, M]: the posterior covariance of the function's values, in squared units of the results."""
        cross, _ = self._cross(places)
        explained = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        found = _kernel(self.hyperparameters, among) - explained.T @ explained
        if self.trend is not None:
            found += self.trend.covariance(places.features, places.features)
        scaled: np.ndarray = self.scale**2 * found
        return scaled

    def left_out(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N], [N]: what it expects of each result that it has seen from all others, and the standard deviation.

        Rasmussen and Williams 2006, 5.10 to 5.12.
        """
        inverse = cho_solve((self.factor, True), np.eye(len(y)), check_finite=False)
        variance = 1.0 / np.diag(inverse)
        return y - self.scale * self.weights * variance, self.scale * np.sqrt(variance)

    def _cross(self, places: Places) -> tuple[np.ndarray, np.ndarray]:
        """[N, M], the covariance with what was seen, and [M], the standardised posterior mean."""
        cross = _kernel(self.hyperparameters, places.across)
        if self.trend is None:
            return cross, cross.T @ self.weights
        cross += self.trend.covariance(self.own, places.features)
        return cross, cross.T @ self.weights + places.features @ self.trend.mean


def _kernel(hyperparameters: Hyperparameters, by_group: np.ndarray) -> np.ndarray:
    """[G, N, M] -> [N, M]: the prior covariance of the function's values, the trend's apart."""
    length, signal, _ = hyperparameters
    return signal**2 * matern(np.tensordot(length**-2, by_group, 1))
