"""What would the policy have earned, if the logged episodes are weighed by how likely it is to have acted as they did?

The weight of an episode up to step t is the product of target over behaviour probability of its actions. Two forms
(Precup, Sutton & Singh 2000): per-decision importance sampling weighs each reward with the weight of its past (unbiased
and wild), and weighted importance sampling divides by the sum of the weights at each step (biased and tame). Both live
on the episodes whose weights are not negligible. Where these are fewer than `FEWEST`, there is no estimate, whatever it
would be: an interval over episodes knows nothing of episodes with large weights that are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.special
from numpy.typing import NDArray

from gedanken.dreams.rollout import Policy
from gedanken.evidence.interval import Interval, mean_with_interval, over_episodes
from gedanken.evidence.logged import Floats, Logged, logged, target_log_probabilities
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode

FEWEST = 5.0
"""Effective episodes, at the worst step, below which nothing is estimated."""


@dataclass(frozen=True)
class ImportanceSampling:
    """The answer.

    Attributes:
        per_decision, weighted: the two estimates.
        effective: how many equally weighed episodes the weights are worth at the worst step, (sum w)^2 / sum w^2;
            `None` where there are no weights.
        episodes: how many logged episodes were weighed.
    """

    per_decision: Interval
    weighted: Interval
    effective: float | None
    episodes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


class Weights(NamedTuple):
    """Of the E' usable episodes of a log: their rows [E'], and [E', T] logarithms of their weights up to each step.

    Behind an episode's end its weight stays what it was. `effective` is that of `ImportanceSampling`; `reason` says why
    nothing may be estimated with them, and is empty where it may.
    """

    rows: NDArray[np.int64]
    logs: Floats
    effective: float | None
    reason: str


def importance_weights(policy: Policy, logs: Logged, codec: Codec, *, key: jax.Array) -> Weights:
    """The weights of all episodes that are whole and whose behaviour probabilities are all known."""
    known = ~np.isnan(np.where(logs.recorded, logs.behaviour, 0.0)).any(1)
    rows = np.flatnonzero(logs.whole & known)
    nothing = np.zeros((0, logs.steps))
    if len(rows) == 0:
        if not logs.whole.any():
            why = "no logged episode is known up to its end or the horizon"
        else:
            why = "the log-probabilities of the logged actions are not known"
        return Weights(rows, nothing, None, why)
    target, why = target_log_probabilities(policy, logs, codec, key=key)
    if target is None:
        return Weights(rows[:0], nothing, None, why)
    cumulative = np.cumsum(target[rows] - np.where(logs.recorded, logs.behaviour, 0.0)[rows], axis=1)
    effective = float(effective_episodes(cumulative).min())
    if effective < FEWEST:
        why = (
            f"the weights are worth {effective:.1f} of {len(rows)} episodes at the worst step; "
            f"{FEWEST:.0f} or more are needed"
        )
    return Weights(rows, cumulative, effective, why)


def effective_episodes(log_weights: Floats) -> Floats:
    """[E, T] -> [T]: (sum w)^2 / sum w^2; 0 where all weights are 0."""
    alive = np.isfinite(log_weights).any(0)
    safe = np.where(alive, log_weights, 0.0)
    log_count = 2.0 * scipy.special.logsumexp(safe, axis=0) - scipy.special.logsumexp(2.0 * safe, axis=0)
    count: Floats = np.where(alive, np.exp(log_count), 0.0)
    return count


def importance_sampling(
    episodes: Sequence[Episode],
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    seed: int,
    discount: float = 1.0,
    confidence: float = 0.95,
) -> ImportanceSampling:
    """Estimates the return of `policy` over `horizon` steps from episodes of other policies.

    Args:
        episodes: logged, with the log-probabilities of their actions.
        policy: the target; a stochastic one has `log_probability(observation [B, D], action [B, A]) -> [B]`.
        codec: how observations and actions become vectors.
        horizon: the time limit of the world.
        key: to see whether a policy without `log_probability` draws its actions.
        seed: of the bootstrap over episodes.
        discount: of a reward for each step before it.
        confidence: of the intervals.
    """
    logs = logged(episodes, codec, horizon=horizon)
    return weigh(
        logs, importance_weights(policy, logs, codec, key=key), discount=discount, confidence=confidence, seed=seed
    )


def weigh(logs: Logged, weights: Weights, *, discount: float, confidence: float, seed: int) -> ImportanceSampling:
    """Both estimates from weights that are there already."""
    count = len(weights.rows)
    if weights.reason:
        none = Interval.missing(weights.reason, count=count)
        return ImportanceSampling(none, none, weights.effective, count)
    reward = logs.reward[weights.rows] * discount ** np.arange(logs.steps)
    per_decision = mean_with_interval((np.exp(weights.logs) * reward).sum(1), confidence=confidence, seed=seed)
    relative = relative_weights(weights)
    weighed = relative * reward

    def self_normalised(chosen: NDArray[np.int64]) -> float:
        return float((weighed[chosen].sum(0) / relative[chosen].sum(0)).sum())

    with np.errstate(invalid="ignore"):  # a resample without any weight is not defined, which NaN says
        weighted = over_episodes(count, self_normalised, confidence=confidence, seed=seed)
    return ImportanceSampling(per_decision, weighted, weights.effective, count)


def relative_weights(weights: Weights) -> Floats:
    """[E', T] weights over the largest of their step, which never overflow."""
    relative: Floats = np.exp(weights.logs - weights.logs.max(0))
    return relative
