"""Calibration: how far the world may lie from a prediction, learned on episodes the model never saw.

Steps of one episode resemble each other, so the *episode* is the exchangeable unit, not the step. The interval
half-widths follow hierarchical conformal prediction (Lee, Barber & Willett 2023, arXiv 2306.06342): the smallest factor
q such that the mean over held-out episodes of the share of steps within q standard deviations is at least
level * (E + 1) / E. For a step of a fresh exchangeable episode the interval then holds with at least `level`. Where E
held-out episodes are too few for a level, the factor is infinite: not known.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import isotonic_regression

from gedanken.errors import ConfigError

LEVELS = (0.5, 0.8, 0.9, 0.95)
TOLERANCE = 0.5
"""A prediction counts as right when its error, root-mean-square over dimensions in units of the typical one-step
change of each, is at most this: it missed by at most half of what usually happens in a step."""
_TINY = 1e-12


class Calibration(eqx.Module):
    """What held-out episodes say of the model's own uncertainty.

    factors: [L, D] half-width of the interval of each of `LEVELS`, in predicted standard deviations; inf: not known.
    change: [D] standard deviation of the one-step change of each dimension, the yardstick of `TOLERANCE`.
    scores, confidences: [K] the map from predicted uncertainty to the probability of being right, non-increasing.
    episodes: [] int32, how many held-out episodes it rests on; 0: nothing was calibrated.
    """

    factors: Array
    change: Array
    scores: Array
    confidences: Array
    episodes: Array

    @classmethod
    def none(cls, observation_size: int, knots: int = 16) -> Calibration:
        """Says of everything that it is not known."""
        # Explicit types: a weakly typed array would make every program that reads a model compile once more later.
        return cls(
            factors=jnp.full((len(LEVELS), observation_size), jnp.inf, jnp.float32),
            change=jnp.ones(observation_size),
            scores=jnp.arange(knots, dtype=jnp.float32),
            confidences=jnp.full(knots, jnp.nan, jnp.float32),
            episodes=jnp.zeros((), jnp.int32),
        )

    def score(self, epistemic: Array, aleatoric: Array) -> Array:
        """[B, D], [B, D] -> [B]: predicted error, root-mean-square over dimensions in units of the typical change."""
        variance = jnp.square(epistemic) + jnp.square(aleatoric)
        return jnp.sqrt(variance @ _yardstick(self.change) + _TINY**2)

    def confidence(self, epistemic: Array, aleatoric: Array) -> Array:
        """[B, D], [B, D] -> [B] in [0, 1]: the calibrated probability that the prediction is within tolerance."""
        score = jnp.log(self.score(epistemic, aleatoric))
        # Nothing was seen beyond the last score: from there on confidence falls with the square of the predicted error.
        beyond = jnp.maximum(score - self.scores[-1], 0.0)
        return jnp.interp(score, self.scores, self.confidences) * jnp.exp(-2.0 * beyond)

    def half_width(self, epistemic: Array, aleatoric: Array, level: float) -> Array:
        """[B, D], [B, D] -> [B, D]: half-width of the interval that holds the next observation with `level`.

        Raises:
            ConfigError: the level is none of `LEVELS`.
        """
        if level not in LEVELS:
            raise ConfigError("No interval of this level was calibrated.", given=level, expected=f"one of {LEVELS}")
        std = jnp.sqrt(jnp.square(epistemic) + jnp.square(aleatoric))
        return self.factors[LEVELS.index(level)] * jnp.maximum(std, _TINY)


def fit_calibration(
    *,
    error: np.ndarray,
    epistemic: np.ndarray,
    aleatoric: np.ndarray,
    change: np.ndarray,
    episode: np.ndarray,
    knots: int = 16,
) -> Calibration:
    """Fits to N held-out steps of E episodes.

    Args:
        error: [N, D] world minus prediction.
        epistemic, aleatoric: [N, D] predicted standard deviations.
        change: [D] standard deviation of one-step changes in the training data.
        episode: [N] which episode each step belongs to.
        knots: how finely the confidence map is drawn.
    """
    blank = Calibration.none(error.shape[1], knots)
    if len(error) == 0:
        return blank
    count = len(np.unique(episode))
    std = np.sqrt(np.square(epistemic) + np.square(aleatoric))
    ratio = np.abs(error) / np.maximum(std, _TINY)
    weight = _equal_episode_weights(episode)
    factors = np.stack([_pooled_quantile(ratio, weight, level * (count + 1) / count) for level in LEVELS])
    calibration = eqx.tree_at(
        lambda c: (c.factors, c.change, c.episodes),
        blank,
        (jnp.asarray(factors, jnp.float32), jnp.asarray(change, jnp.float32), jnp.asarray(count, jnp.int32)),
    )
    # In NumPy: every jax operation would be compiled anew for every number of steps.
    yardstick = np.asarray(_yardstick(jnp.asarray(change)), np.float64)
    right = np.sqrt(np.square(error) @ yardstick) <= TOLERANCE
    scores = 0.5 * np.log(np.square(std) @ yardstick + _TINY**2)
    x, y = _confidence_map(scores, right, weight, knots)
    confidence_map = (jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    calibrated: Calibration = eqx.tree_at(lambda c: (c.scores, c.confidences), calibration, confidence_map)
    return calibrated


def _yardstick(change: Array) -> Array:
    """[D] weights whose product with squares is the mean of squares / change^2 over the dimensions that change."""
    moves = change > 0
    return jnp.where(moves, 1.0 / jnp.square(jnp.where(moves, change, 1.0)), 0.0) / jnp.maximum(moves.sum(), 1)


def _equal_episode_weights(episode: np.ndarray) -> np.ndarray:
    """[N] weights that sum to 1, every episode alike."""
    _, inverse, counts = np.unique(episode, return_inverse=True, return_counts=True)
    weights: np.ndarray = 1.0 / (counts[inverse] * len(counts))
    return weights


def _pooled_quantile(ratio: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """[N, D] -> [D]: the smallest q with at least `share` of the weight at or below it; inf where share > 1."""
    if share > 1.0 + 1e-9:
        return np.full(ratio.shape[1], np.inf)
    order = np.argsort(ratio, axis=0)
    reached = np.cumsum(weight[order], axis=0) >= share - 1e-9
    first = reached.argmax(axis=0)
    columns = np.arange(ratio.shape[1])
    found: np.ndarray = ratio[order[first, columns], columns]
    return found


def _confidence_map(
    scores: np.ndarray, right: np.ndarray, weight: np.ndarray, knots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression of being right on the predicted error, read off at `knots` quantiles.

    It runs over bins of eight steps or more, each shrunk by one right and one wrong imaginary step, so that a handful
    of steps never claims certainty.
    """
    order = np.argsort(scores)
    bins = np.array_split(order, np.clip(len(order) // 8, 1, knots * 4))
    share = np.array([(right[part].sum() + 1.0) / (len(part) + 2.0) for part in bins])
    mass = np.array([weight[part].sum() for part in bins])
    middle = np.array([scores[part].mean() for part in bins])
    falling = isotonic_regression(share, weights=mass, increasing=False).x
    at = np.quantile(middle, np.linspace(0, 1, knots))
    # Strictly increasing positions keep the interpolation well defined where many scores are equal.
    at = at + np.arange(knots) * 1e-6
    return at, np.interp(at, middle, falling)
