"""The formulas behind calibration: CRPS, quantiles of a mixture, and how well probabilities of an ending hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats
from jax.scipy.special import ndtr
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval, over_episodes, pooled

Floats = NDArray[np.float64]
BINS = 10
_EDGES = 200


def gaussian_crps(mean: Floats, std: Floats, observed: Floats) -> Floats:
    """The continuous ranked probability score of N(mean, std) at `observed`, in its units; 0 is perfect.

    Closed form of Gneiting & Raftery (2007), equation 21. With `std` 0 it is the absolute error.
    """
    width = np.maximum(std, 1e-12)
    z = (observed - mean) / width
    density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    score: Floats = width * (z * (2.0 * scipy.special.ndtr(z) - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi))
    return score


def mixture_quantiles(mean: jax.Array, std: jax.Array, shares: jax.Array, iterations: int = 40) -> jax.Array:
    """[M, B, D] means and deviations of an even mixture of Gaussians -> [S, B, D] quantiles at [S], by bisection."""
    width = jnp.maximum(std, 1e-12)
    far = 6.0
    low, high = (mean - far * width).min(0), (mean + far * width).max(0)
    wanted = shares[:, None, None]

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = ndtr((middle[:, None] - mean) / width).mean(1) < wanted
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    shape = (len(shares), *low.shape)
    start = (jnp.broadcast_to(low, shape), jnp.broadcast_to(high, shape))
    ends = jax.lax.fori_loop(0, iterations, halve, start)
    quantiles: jax.Array = 0.5 * (ends[0] + ends[1])
    return quantiles


@dataclass(frozen=True)
class ReliabilityBin:
    """Steps whose predicted probability fell into one tenth of [0, 1]: mean prediction, share that came true, count."""

    predicted: float
    observed: float
    count: int


@dataclass(frozen=True)
class TerminationCheck:
    """How well the predicted probability of an ending holds.

    Attributes:
        steps, terminations: how many steps were judged, and how many of them ended an episode for real.
        brier: mean squared error of the probability.
        brier_of_base_rate: the same of always predicting the share of endings.
        ece: expected calibration error over ten bins of equal width.
        auc: the probability that an ending was given a higher probability than a step that was none.
        bins: the filled bins, for a reliability diagram.
    """

    steps: int
    terminations: int
    brier: Interval
    brier_of_base_rate: float | None
    ece: Interval
    auc: Interval
    bins: tuple[ReliabilityBin, ...]


def check_termination(
    probability: Floats, ended: NDArray[np.bool_], episode: NDArray[np.int64], *, confidence: float, seed: int
) -> TerminationCheck:
    """Judges N probabilities [N] against what happened [N]; `episode` [N] in 0..E-1 is the unit of the intervals."""
    steps, endings = len(ended), int(ended.sum())
    unfit = int((~np.isfinite(probability)).sum())
    if steps == 0 or unfit:
        why = "there are no steps" if steps == 0 else f"the model gave no probability for {unfit} of {steps} steps"
        none = Interval.missing(why)
        return TerminationCheck(steps, endings, none, None, none, none, ())
    came = ended.astype(np.float64)
    count = int(episode.max()) + 1
    bounds = (0.0, 1.0)

    def per_episode(values: Floats) -> Floats:
        return np.bincount(episode, values, count).astype(np.float64)

    cell = episode * BINS + np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    filled, said, seen = (
        np.bincount(cell, weights, count * BINS).reshape(count, BINS) for weights in (np.ones(steps), probability, came)
    )

    def ece(chosen: NDArray[np.int64]) -> float:
        away = np.abs(said[chosen].sum(0) - seen[chosen].sum(0))
        return float(away.sum() / filled[chosen].sum())

    totals = filled.sum(0)
    bins = tuple(
        ReliabilityBin(float(said[:, b].sum() / totals[b]), float(seen[:, b].sum() / totals[b]), int(totals[b]))
        for b in range(BINS)
        if totals[b]
    )
    rate = endings / steps
    auc = area_under_roc(probability, ended, episode, confidence=confidence, seed=seed)
    if endings in (0, steps):
        how = f"no episode ended among {steps} steps" if not endings else f"each of the {steps} steps ended its episode"
        auc = Interval.missing(how, count=count)
    return TerminationCheck(
        steps=steps,
        terminations=endings,
        brier=pooled(
            per_episode((probability - came) ** 2),
            per_episode(np.ones(steps)),
            confidence=confidence,
            seed=seed,
            bounds=bounds,
        ),
        brier_of_base_rate=rate * (1.0 - rate),
        ece=over_episodes(count, ece, confidence=confidence, seed=seed, bounds=bounds),
        auc=auc,
        bins=bins,
    )


def area_under_roc(
    score: Floats, hit: NDArray[np.bool_], episode: NDArray[np.int64], *, confidence: float, seed: int
) -> Interval:
    """The probability that a hit was scored higher than a miss, ties counting half, of [N] scores; 0.5 is a coin.

    Missing where there are no hits, or only hits. `episode` [N] in 0..E-1 is the unit of the interval.
    """
    count = int(episode.max()) + 1 if len(episode) else 0
    if hit.all() or not hit.any():
        return Interval.missing(f"{int(hit.sum())} of {len(hit)} steps are hits", count=count)
    edges = np.unique(score[hit])
    if len(edges) > _EDGES:
        edges = np.unique(np.quantile(edges, np.linspace(0, 1, _EDGES), method="nearest"))
    # Every score becomes its place among the scores of the hits: 2k between two of them, 2k + 1 on one. Counts a
    # place and episode are then enough for the exact AUC of any resample of episodes.
    place = np.searchsorted(edges, score, "left") + np.searchsorted(edges, score, "right")
    places = 2 * len(edges) + 1
    cell = episode * places + place
    positive = np.bincount(cell, hit.astype(np.float64), count * places).reshape(count, places)
    negative = np.bincount(cell, (~hit).astype(np.float64), count * places).reshape(count, places)

    def auc(chosen: NDArray[np.int64]) -> float:
        up, down = positive[chosen].sum(0), negative[chosen].sum(0)
        pairs = float(up.sum() * down.sum())
        below = np.cumsum(down) - 0.5 * down
        return float((up * below).sum() / pairs) if pairs else math.nan

    return over_episodes(count, auc, confidence=confidence, seed=seed, bounds=(0.0, 1.0))


def rank_correlation(
    first: Floats, second: Floats, episode: NDArray[np.int64], *, confidence: float, seed: int
) -> Interval:
    """Spearman's correlation of two [N] columns, with an interval over episodes.

    Ranks are those among all steps and stay fixed while episodes are resampled.
    """
    if len(first) < 2:
        return Interval.missing("there are fewer than two steps")
    ranks = [scipy.stats.rankdata(column) / len(column) - 0.5 for column in (first, second)]
    count = int(episode.max()) + 1
    x, y = ranks
    moments = np.stack([np.bincount(episode, v, count) for v in (np.ones_like(x), x, y, x * x, y * y, x * y)], axis=1)

    def correlation(chosen: NDArray[np.int64]) -> float:
        n, sx, sy, xx, yy, xy = moments[chosen].sum(0)
        spread = (xx / n - (sx / n) ** 2) * (yy / n - (sy / n) ** 2)
        return float((xy / n - sx * sy / n**2) / math.sqrt(spread)) if spread > 1e-12 else math.nan

    return over_episodes(count, correlation, confidence=confidence, seed=seed, bounds=(-1.0, 1.0))
