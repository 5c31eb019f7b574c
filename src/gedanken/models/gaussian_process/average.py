"""Processes averaged over what their hyperparameters may be, which few results leave open.

The one best setting is too sure of itself: with some ten results its 90 % intervals hold 60 to 80 % of what comes. So
hyperparameters are drawn from around the posterior's mode (a Student t of its curvature) and weighed by how likely they
really are, the largest weights truncated (Ionides 2008, "Truncated importance sampling"). This is done for processes
with a length scale for each parameter and for such with one for all, which share by their evidence (Laplace's
approximation, Rasmussen and Williams 2006, 5.2.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm

from gedanken.errors import ConfigError
from gedanken.models.gaussian_process.density import LogPosterior, PriorConfig
from gedanken.models.gaussian_process.kernel import distances
from gedanken.models.gaussian_process.process import Belief, Process
from gedanken.worlds.science.design import Group

_STARTS = (0.0, math.log(0.25))
"""Where the search for the mode begins, as logarithms of multiples of the prior's median length scale."""
_FREEDOM = 5.0
_WIDEST = 1.5
"""The largest standard deviation of a logarithm that is believed of a flat direction."""


@dataclass(frozen=True)
class GaussianProcessConfig:
    """Settings of a fit.

    Attributes:
        scales: whether each parameter has a length scale of its own, all share one, or the results are to decide.
        draws: settings of the hyperparameters that are averaged over; 1 takes the mode alone.
        iterations: of the search for the mode.
        prior: what is thought of hyperparameters before there are results.
    """

    scales: tuple[Literal["each", "shared"], ...] = ("each", "shared")
    draws: int = 16
    iterations: int = 60
    prior: PriorConfig = field(default_factory=PriorConfig)

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ConfigError("`draws` of a Gaussian process is too small.", given=self.draws, expected=">= 1")
        if not self.scales or not set(self.scales) <= {"each", "shared"}:
            raise ConfigError("Not length scales.", given=self.scales, expected='"each", "shared" or both')


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """K processes and their weights [K], which add up to 1."""

    processes: tuple[Process, ...]
    weights: np.ndarray

    def beliefs(self, x: np.ndarray) -> Belief:
        """[M, F] -> what each process thinks: arrays [K, M]."""
        said = [process.predict(x) for process in self.processes]
        return Belief(*(np.stack(part) for part in zip(*said, strict=True)))

    def predict(self, x: np.ndarray) -> Belief:
        """[M, F] -> mean and deviations of all together. That the processes differ is part of the epistemic one."""
        mean, epistemic, aleatoric = self.beliefs(x)
        middle = self.weights @ mean
        spread = self.weights @ (np.square(mean - middle) + np.square(epistemic))
        return Belief(middle, np.sqrt(spread), np.sqrt(self.weights @ np.square(aleatoric)))

    def interval(self, x: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """[M, F] -> low and high [M] between which the next result lies with probability `level`."""
        mean, epistemic, aleatoric = self.beliefs(x)
        total = np.hypot(epistemic, aleatoric)
        return tuple(_quantile(self.weights, mean, total, 0.5 + side * level / 2) for side in (-1, 1))  # type: ignore[return-value]

    def draw(self, x: np.ndarray, count: int, *, seed: int) -> np.ndarray:
        """[M, F] -> [count, M]: functions drawn from the posterior, without noise."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.processes), count, p=self.weights)
        return np.concatenate([self.processes[k].draw(x, 1, rng) for k in which])


def fit_gaussian_process(
    groups: Sequence[Group], x: np.ndarray, y: np.ndarray, *, config: GaussianProcessConfig | None = None, seed: int
) -> GaussianProcess:
    """Fits processes to results.

    Args:
        groups: of the design space.
        x: [N, F] encoded designs; equal ones are replicates.
        y: [N] results, N >= 2.
        config: settings.
        seed: of the draws of hyperparameters.

    Raises:
        ConfigError: there are fewer than two results, or one is not finite.
    """
    config = config or GaussianProcessConfig()
    if len(y) < 2 or len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ConfigError(
            "A Gaussian process cannot be fitted to this.",
            given=f"{len(x)} designs and {len(y)} results",
            expected="two results or more, a finite one for each design",
        )
    standard = (y - y.mean()) / (float(y.std()) or 1.0)
    by_group, rng = distances(groups, x, x), np.random.default_rng(seed)
    # With one parameter, both are the same.
    kinds = config.scales if len(by_group) > 1 else config.scales[:1]
    processes: list[Process] = []
    shares, evidences = [], []
    for kind in kinds:
        posterior = LogPosterior(by_group, standard, config.prior, each=kind == "each")
        mode = _mode(posterior, config.iterations)
        root = _root(posterior, mode)
        places, weights = _around(posterior, mode, root, config.draws, rng)
        processes += [Process.of(groups, x, y, posterior.named(at)) for at in places]
        shares.append(weights)
        evidences.append(posterior(mode)[0] + 0.5 * len(mode) * math.log(2 * math.pi) + np.linalg.slogdet(root)[1])
    between = np.exp(np.array(evidences) - logsumexp(evidences))
    return GaussianProcess(tuple(processes), np.concatenate([b * w for b, w in zip(between, shares, strict=True)]))


def _mode(posterior: LogPosterior, iterations: int) -> np.ndarray:
    def minus(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = posterior(at)
        return -value, -gradient

    shifts = [np.r_[np.full(posterior.lengths, shift), 0.0, 0.0] for shift in _STARTS]
    options = {"maxiter": iterations}
    found = [
        minimize(
            minus, posterior.prior_mean + shift, jac=True, method="L-BFGS-B", bounds=posterior.bounds, options=options
        )
        for shift in shifts
    ]
    best: np.ndarray = min(found, key=lambda result: float(result.fun)).x
    return best


def _root(posterior: LogPosterior, mode: np.ndarray) -> np.ndarray:
    """[P, P]: a root of the covariance of the Gaussian that has the posterior's curvature at its mode."""
    step = 0.05
    shifts = step * np.eye(len(mode))
    curvature = np.stack([posterior(mode - s)[1] - posterior(mode + s)[1] for s in shifts]) / (2 * step)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    root: np.ndarray = vectors / np.sqrt(np.maximum(values, _WIDEST**-2))
    return root


def _around(
    posterior: LogPosterior, mode: np.ndarray, root: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """Draws from around the mode, the first one the mode itself, and their weights."""
    size = len(mode)
    low, high = np.array(posterior.bounds).T
    steps = rng.standard_normal((draws, size)) * np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (draws, 1)))
    steps[0] = 0.0
    places = [np.clip(mode + root @ one, low, high) for one in steps]
    proposed = -0.5 * (_FREEDOM + size) * np.log1p(np.square(steps).sum(1) / _FREEDOM)
    logs = np.array([posterior(at)[0] for at in places]) - proposed
    logs -= logsumexp(logs)
    weights = np.exp(np.minimum(logs, -0.5 * math.log(draws)))
    return places, weights / weights.sum()


def _quantile(weights: np.ndarray, mean: np.ndarray, std: np.ndarray, share: float) -> np.ndarray:
    """[K], [K, M], [K, M] -> [M]: of a mixture of Gaussians, by bisection between those of its parts."""
    parts = mean + std * norm.ppf(share)
    low, high = parts.min(0), parts.max(0)
    for _ in range(40):
        middle = (low + high) / 2
        below = weights @ norm.cdf((middle - mean) / std) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found: np.ndarray = (low + high) / 2
    return found
