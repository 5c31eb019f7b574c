"""Processes averaged over what their hyperparameters may be, which few results leave open.

The one best setting is too sure of itself: with some ten results its 90 % intervals hold 60 to 80 % of what comes. So
hyperparameters are drawn from around the posterior's mode (a Student t of its curvature) and weighed by how likely they
really are, the largest weights truncated (Ionides 2008, "Truncated importance sampling"). This is done for processes
with a length scale for each parameter and for such with one for all, which share by their evidence (Laplace's
approximation, Rasmussen and Williams 2006, 5.2.1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm
from scipy.stats import t as student

from gedanken.errors import ConfigError
from gedanken.models.gaussian_process.density import LogPosterior, PriorConfig
from gedanken.models.gaussian_process.kernel import distances
from gedanken.models.gaussian_process.noise import NoiseShape, noise_shape
from gedanken.models.gaussian_process.process import Belief, Places, Process
from gedanken.models.gaussian_process.trend import Linear
from gedanken.worlds.design import Group

_STARTS = (0.0, math.log(0.25))
"""Where the search for the mode begins, as logarithms of multiples of the prior's median length scale."""
_FREEDOM = 5.0
_EARLIER_COUNTS = 2.0
"""As so many results of the new campaign counts what is known of their spread from earlier ones."""
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
    """K processes and their weights [K], which add up to 1; all have seen the same designs [N, F].

    trend: what earlier campaigns say. noise: how it differs by design; None where nothing shows that it does.
    """

    groups: tuple[Group, ...]
    x: np.ndarray
    y: np.ndarray
    trend: Linear | None
    noise: NoiseShape | None
    processes: tuple[Process, ...]
    weights: np.ndarray

    def beliefs(self, x: np.ndarray) -> Belief:
        """[M, F] -> what each process thinks: arrays [K, M]."""
        places = self._places(x)
        said = [process.predict(places) for process in self.processes]
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
        places, among = self._places(x), distances(self.groups, x, x)
        which = rng.choice(len(self.processes), count, p=self.weights)
        return np.stack([self.processes[k].draw(places, among, rng) for k in which])

    def tells(self, x: np.ndarray, of: np.ndarray) -> np.ndarray:
        """[M, F], [F] -> [M]: which share of the doubt about `of` one measurement at each of `x` would take away."""
        places = np.vstack([of[None], x])
        seen, among = self._places(places), distances(self.groups, places, places)
        shares = []
        for process in self.processes:
            covariance = process.covariance(seen, among)
            noise = np.square(process.scale * process.hyperparameters.noise * seen.relative[1:])
            own = np.maximum(np.diag(covariance), 1e-12)
            shares.append(np.square(covariance[0, 1:]) / (own[0] * (own[1:] + noise)))
        found: np.ndarray = self.weights @ np.stack(shares)
        return found

    def foresight(self) -> float:
        """The probability that this model foresees results better than one that knows nothing but how they spread.

        Each result is foreseen from all others, by this model and by a Student t of the others; both are as likely
        before. 0.5 where there are fewer than four results.
        """
        count = len(self.y)
        if count < 4:
            return 0.5
        told = [norm.logpdf(self.y, *process.left_out(self.y)) for process in self.processes]
        ours = logsumexp(np.stack(told), axis=0, b=self.weights[:, None]).sum()
        others = (self.y.sum() - self.y) / (count - 1)
        spread = np.array([np.delete(self.y, i).std(ddof=1) for i in range(count)])
        spread = np.maximum(spread, 1e-9 * (float(self.y.std()) or 1.0))
        nothing = student.logpdf(self.y, count - 2, others, spread * math.sqrt(1.0 + 1.0 / (count - 1))).sum()
        return float(1.0 / (1.0 + math.exp(min(nothing - ours, 700.0))))

    def _places(self, x: np.ndarray) -> Places:
        features = np.zeros((len(x), 0)) if self.trend is None else self.trend.features(x)
        return Places(distances(self.groups, self.x, x), features, _shape(self.noise, x))


def fit_gaussian_process(
    groups: Sequence[Group],
    x: np.ndarray,
    y: np.ndarray,
    *,
    config: GaussianProcessConfig | None = None,
    trend: Linear | None = None,
    optional: bool = True,
    seed: int,
) -> GaussianProcess:
    """Fits processes to results.

    Args:
        groups: of the design space.
        x: [N, F] encoded designs; equal ones are replicates.
        y: [N] results, N >= 2; with a trend, one is enough.
        config: settings.
        trend: what earlier campaigns say, or what else is linear.
        optional: whether processes with and without the trend share by their evidence, or all have it.
        seed: of the draws of hyperparameters.

    Raises:
        ConfigError: there are too few results, or one is not finite.
    """
    config = config or GaussianProcessConfig()
    least = 2 if trend is None else 1
    if len(y) < least or len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ConfigError(
            "A Gaussian process cannot be fitted to this.",
            given=f"{len(x)} designs and {len(y)} results",
            expected="two results or more, a finite one for each design",
        )
    mean, scale = float(y.mean()), _scale(y, trend)
    standard = (y - mean) / scale
    by_group, rng = distances(groups, x, x), np.random.default_rng(seed)
    noise = noise_shape(groups, x, y, length=config.prior.length)
    shape = _shape(noise, x)
    own = None if trend is None else trend.features(x)
    # With one parameter, both are the same.
    kinds = config.scales if len(by_group) > 1 else config.scales[:1]
    processes: list[Process] = []
    shares, evidences = [], []
    for followed, kind in itertools.product(_followed(trend, optional=optional), kinds):
        extra: np.ndarray | float = 0.0
        around = standard
        if followed is not None and own is not None:
            extra, around = followed.covariance(own, own), standard - own @ followed.mean
        posterior = LogPosterior(by_group, around, config.prior, each=kind == "each", extra=extra, shape=shape)
        mode = _mode(posterior, config.iterations)
        root = _root(posterior, mode)
        places, weights = _around(posterior, mode, root, config.draws, rng)
        processes += [
            Process.of(by_group, y, posterior.named(at), mean=mean, scale=scale, trend=followed, own=own, shape=shape)
            for at in places
        ]
        shares.append(weights)
        evidences.append(posterior(mode)[0] + 0.5 * len(mode) * math.log(2 * math.pi) + np.linalg.slogdet(root)[1])
    between = np.exp(np.array(evidences) - logsumexp(evidences))
    weights = np.concatenate([b * w for b, w in zip(between, shares, strict=True)])
    return GaussianProcess(tuple(groups), x, y, trend, noise, tuple(processes), weights)


def _followed(trend: Linear | None, *, optional: bool) -> tuple[Linear | None, ...]:
    """The trends that processes are made with."""
    return (None, trend) if trend is not None and optional else (trend,)


def _shape(noise: NoiseShape | None, x: np.ndarray) -> np.ndarray:
    return np.ones(len(x)) if noise is None else noise(x)


def _scale(y: np.ndarray, trend: Linear | None) -> float:
    """The standard deviation of results; with few of them and earlier campaigns, mostly that of the earlier results."""
    if trend is None:
        return float(y.std()) or 1.0
    return spread_of(y, trend.scale)


def spread_of(y: np.ndarray, guess: float) -> float:
    """The standard deviation of [N] results, of which a guess is one of two results more."""
    return math.sqrt((len(y) * float(y.var()) + _EARLIER_COUNTS * guess**2) / (len(y) + _EARLIER_COUNTS))


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
