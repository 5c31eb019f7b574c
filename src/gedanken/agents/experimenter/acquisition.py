"""How much experiments may better what was found: the merits that a planner chooses by, as logarithms.

Every answer is averaged over the processes of a model, which are what the results leave open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, logsumexp

from gedanken.models.gaussian_process import Belief, GaussianProcess

_SAMPLES, _DIRECTIONS = 64, 64
"""Of the expected hypervolume improvement."""


class Improvement(NamedTuple):
    """Of M designs over the best that was seen, judged by expected results and not by lucky measurements.

    log_chance: of the probability that there is any, [M]. log_gain: of how much is expected, [M], in the units of the
    results; of several objectives, a share of the hypervolume they span.
    """

    log_chance: np.ndarray
    log_gain: np.ndarray


def improvement(process: GaussianProcess, x: np.ndarray, seen: np.ndarray | None = None) -> Improvement:
    """Over the best of one objective.

    Args:
        process: of results of which more is better.
        x: [M, F] encoded designs.
        seen: [N, F], the designs among which the best is; by default those that the process has results of.
    """
    own = process.beliefs(process.x if seen is None else seen).mean
    return improvement_over(process.beliefs(x), own, process.weights)


def improvement_over(beliefs: Belief, own: np.ndarray, weights: np.ndarray) -> Improvement:
    """The same, of beliefs.

    Args:
        beliefs: of M designs, by each of K processes: arrays [K, M].
        own: [K, N], the means of those among which the best is.
        weights: [K], of the processes.
    """
    mean, epistemic, _ = beliefs
    z = (mean - (weights @ own).max()) / epistemic
    each = (mean - own.max(1)[:, None]) / epistemic
    weights = weights[:, None]
    return Improvement(
        logsumexp(log_ndtr(z), axis=0, b=weights),
        logsumexp(log_improvement(each) + np.log(epistemic), axis=0, b=weights),
    )


def hypervolume_improvement(processes: Sequence[GaussianProcess], x: np.ndarray, *, seed: int) -> Improvement:
    """Over the front of several objectives.

    A hypervolume is the mean, over directions, of how far a set of points reaches along each (Zhang and Golovin 2020,
    "Random hypervolume scalarizations", lemma 5). So the expected gain is estimated by samples of a design's results,
    and directions; both are the same for all designs.

    Args:
        processes: one an objective, K of them, of results of which more is better.
        x: [M, F] encoded designs.
        seed: of samples and directions.
    """
    rng, count = np.random.default_rng(seed), len(processes)
    seen, drawn = [], []
    for process in processes:
        belief, own = process.predict(x), np.concatenate([process.predict(other.x).mean for other in processes])
        low, high = float(own.min()), float(own.max())
        span = (high - low) or 1.0
        # The point that counts as nothing lies a little below the worst.
        seen.append((own - low) / span + 0.1)
        z = rng.standard_normal((_SAMPLES, 1))
        drawn.append((belief.mean + belief.epistemic * z - low) / span + 0.1)
    directions = np.abs(rng.standard_normal((_DIRECTIONS, count)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    front, results = np.stack(seen, axis=-1), np.stack(drawn, axis=-1)
    gain, chance = np.zeros(len(x)), np.zeros((_SAMPLES, len(x)), np.bool_)
    for direction in directions:
        reached = _along(front, direction, count).max()
        beyond = np.maximum(_along(results, direction, count) - reached, 0.0)
        gain += beyond.mean(0) / _DIRECTIONS
        chance |= beyond > 0.0
    return Improvement(np.log(np.maximum(chance.mean(0), 1e-12)), np.log(np.maximum(gain, 1e-300)))


def log_improvement(z: np.ndarray) -> np.ndarray:
    """log(pdf(z) + z cdf(z)) of the standard normal, without underflow (Ament et al. 2023, LogEI)."""
    z = np.asarray(z, np.float64)
    log_pdf = -0.5 * np.square(z) - 0.5 * math.log(2.0 * math.pi)
    ratio = z * np.exp(np.minimum(log_ndtr(z) - log_pdf, 700.0))
    near = np.log1p(np.maximum(ratio, -1.0 + 1e-12))
    # Far below, 1 + ratio cancels; its expansion (Abramowitz and Stegun 26.2.12) does not.
    far = -2.0 * np.log(np.maximum(-z, 1.0)) + np.log1p(-3.0 / np.maximum(np.square(z), 4.0))
    found: np.ndarray = log_pdf + np.where(z < -50.0, far, near)
    return found


def _along(points: np.ndarray, direction: np.ndarray, count: int) -> np.ndarray:
    """[..., K] -> [...]: how far points reach along a direction, to the power that makes a volume of it."""
    reach: np.ndarray = np.maximum(points / np.maximum(direction, 1e-9), 0.0).min(-1) ** count
    return reach
