"""What is thought of a process's hyperparameters before and after the results: priors, likelihood and its gradient.

The priors grow with the number of parameters as distances do (Hvarfner et al. 2024, "Vanilla Bayesian optimization
performs great in high dimensions").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky

from gedanken.errors import ConfigError
from gedanken.models.gaussian_process.kernel import matern, matern_slope

JITTER = 1e-8
_LOG_2_PI = math.log(2.0 * math.pi)
_LENGTHS = (math.log(0.01), math.log(100.0))
_SIGNALS = (-3.0, 3.0)
_NOISES = (math.log(1e-3), 1.0)


class Hyperparameters(NamedTuple):
    """length: [G], of each parameter. signal, noise: standard deviations, in units of the standardised results."""

    length: np.ndarray
    signal: float
    noise: float


@dataclass(frozen=True)
class PriorConfig:
    """Log-normal priors.

    Attributes:
        length: median of a length scale where there is one parameter; it grows with the root of their number.
        spread: standard deviation of a length scale's logarithm.
        noise: median of the noise's standard deviation, as a share of that of the results.
        noise_spread: standard deviation of its logarithm.
    """

    length: float = 0.5
    spread: float = 0.5
    noise: float = 0.3
    noise_spread: float = 0.7

    def __post_init__(self) -> None:
        for name in ("length", "spread", "noise", "noise_spread"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"`{name}` of a process is too small.", given=getattr(self, name), expected="> 0")


class LogPosterior:
    """The log posterior density of a vector: the logarithms of length scales [G or 1], signal and noise.

    Args:
        by_group: [G, N, N], see `kernel.distances`.
        y: [N] standardised results.
        config: the priors.
        each: whether each parameter has a length scale of its own, or all have the same.
        extra: [N, N], a part of the covariance that does not depend on the vector.
        shape: [N], each result's noise relative to the vector's.
    """

    def __init__(
        self,
        by_group: np.ndarray,
        y: np.ndarray,
        config: PriorConfig,
        *,
        each: bool,
        extra: np.ndarray | float = 0.0,
        shape: np.ndarray | float = 1.0,
    ) -> None:
        self.by_group, self.y, self.each, self.extra = by_group, y, each, extra
        self.relative = np.square(np.broadcast_to(shape, len(y)))
        count = len(by_group)
        self.lengths = count if each else 1
        length = math.log(config.length) + 0.5 * math.log(count)
        self.prior_mean = np.r_[np.full(self.lengths, length), 0.0, math.log(config.noise)]
        self.prior_std = np.r_[np.full(self.lengths, config.spread), 0.5, config.noise_spread]
        self.bounds = [*[_LENGTHS] * self.lengths, _SIGNALS, _NOISES]

    def named(self, at: np.ndarray) -> Hyperparameters:
        """What a vector stands for."""
        length = np.exp(np.broadcast_to(at[: self.lengths], len(self.by_group)))
        return Hyperparameters(length, math.exp(at[-2]), math.exp(at[-1]))

    def __call__(self, at: np.ndarray) -> tuple[float, np.ndarray]:
        """The logarithm of likelihood times prior, and its gradient (Rasmussen and Williams 2006, 5.8 and 5.9)."""
        length, signal, noise = self.named(at)
        scaled = self.by_group / np.square(length)[:, None, None]
        squares = scaled.sum(0)
        kernel = signal**2 * matern(squares)
        covariance = kernel + self.extra
        covariance[np.diag_indices_from(covariance)] += noise**2 * self.relative + JITTER
        factor = cholesky(covariance, lower=True, check_finite=False)
        weights = cho_solve((factor, True), self.y, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(len(self.y)), check_finite=False)
        evidence = -0.5 * self.y @ weights - np.log(np.diag(factor)).sum() - 0.5 * len(self.y) * _LOG_2_PI
        # The evidence's derivative by the covariance; the chain rule does the rest.
        outer = 0.5 * (np.outer(weights, weights) - inverse)
        by_length = -2.0 * np.tensordot(scaled, outer * signal**2 * matern_slope(squares), 2)
        gradient = np.r_[
            by_length if self.each else by_length.sum(),
            2.0 * (outer * kernel).sum(),
            2.0 * noise**2 * (self.relative @ np.diag(outer)),
        ]
        off = (at - self.prior_mean) / self.prior_std
        prior = -0.5 * off @ off - np.log(self.prior_std).sum() - 0.5 * len(at) * _LOG_2_PI
        return float(evidence + prior), gradient - off / self.prior_std
