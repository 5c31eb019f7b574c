"""What is the policy worth, by a value function that importance weights correct where it is wrong?

Weighted doubly robust estimation (Jiang & Li 2016; Thomas & Brunskill 2016): the mean value of the starts by fitted Q
evaluation, plus the weighted errors of Q along the logged episodes. Where either the weights or Q are right, so is the
sum; with both, its variance is smaller than that of the weights alone. Q is cross-fitted: of an episode, its errors and
its start are judged by the fit that never saw it, so that no fit flatters itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import NDArray

from gedanken.dreams.rollout import Policy
from gedanken.evidence.fitted_q import CrossFittedQ, FittedQ, features_of_policy, fit_q, logged_features
from gedanken.evidence.importance import Weights, importance_weights, relative_weights
from gedanken.evidence.interval import Interval, over_episodes
from gedanken.evidence.logged import Floats, Logged, in_chunks, logged
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode


def doubly_robust(
    episodes: Sequence[Episode],
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    seed: int,
    discount: float = 1.0,
    confidence: float = 0.95,
    settings: FittedQ | None = None,
) -> Interval:
    """Estimates the return of `policy` over `horizon` steps from episodes of other policies.

    Args:
        episodes: logged, with the log-probabilities of their actions.
        policy: the target; a stochastic one has `log_probability(observation [B, D], action [B, A]) -> [B]`.
        codec: how observations and actions become vectors.
        horizon: the time limit of the world.
        key: of the fit.
        seed: of the bootstrap over episodes.
        discount: of a reward for each step before it.
        confidence: of the interval.
        settings: of the fit.
    """
    logs = logged(episodes, codec, horizon=horizon)
    weights = importance_weights(policy, logs, codec, key=key)
    if weights.reason:
        return Interval.missing(weights.reason, count=len(weights.rows))
    settings = settings if settings is not None else FittedQ()
    fit = fit_q(logs, policy, codec, horizon=horizon, key=key, discount=discount, settings=settings)
    return correct(
        fit, logs, weights, policy, codec, horizon=horizon, key=key, discount=discount, confidence=confidence, seed=seed
    )


def correct(
    fit: CrossFittedQ,
    logs: Logged,
    weights: Weights,
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    discount: float,
    confidence: float,
    seed: int,
) -> Interval:
    """The estimate from a fit and weights that are there already."""
    if weights.reason:
        return Interval.missing(weights.reason, count=len(weights.rows))
    starts, errors = [], []
    for row in weights.rows:
        start, error = _along(fit, logs, int(row), policy, codec, horizon=horizon, key=key, discount=discount)
        starts.append(start)
        errors.append(error)
    values, discounts = np.array(starts), discount ** np.arange(logs.steps)
    relative = relative_weights(weights)
    weighed = relative * np.array(errors) * discounts

    def corrected(chosen: NDArray[np.int64]) -> float:
        return float(values[chosen].mean() + (weighed[chosen].sum(0) / relative[chosen].sum(0)).sum())

    with np.errstate(invalid="ignore"):  # a resample without any weight is not defined, which NaN says
        return over_episodes(len(weights.rows), corrected, confidence=confidence, seed=seed)


def _along(
    fit: CrossFittedQ,
    logs: Logged,
    row: int,
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    discount: float,
) -> tuple[float, Floats]:
    """The value of an episode's start, and [T] how much better each step went than Q said, 0 behind its end."""
    without = 1 + int(fit.fold[row]) if fit.folds > 1 else 0
    to_go = horizon - np.arange(logs.steps + 1)
    value = fit.value(features_of_policy(fit, policy, codec, logs.observation[row], key), to_go, without)
    taken = in_chunks(logged_features, fit.features, logs.observation[row, :-1], logs.action[row])
    following = np.where(logs.terminated[row], 0.0, value[1:])
    error = logs.reward[row] + discount * following - fit.value(taken, to_go[:-1], without)
    return float(value[0]), np.where(logs.recorded[row], error, 0.0)
