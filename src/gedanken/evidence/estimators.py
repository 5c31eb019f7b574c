"""How do all ways of estimating a policy's value compare, on the same episodes?

One call, one table. From real episodes of the policy itself: their mean, and with a model the prediction-powered
interval. From the model: its own word. From logged episodes of other policies: importance sampling in two forms, fitted
Q evaluation, and doubly robust estimation. What cannot be estimated says why, in the place of its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gedanken.dreams.rollout import Policy
from gedanken.errors import ConfigError
from gedanken.evidence.doubly_robust import correct
from gedanken.evidence.fitted_q import FittedQ, fit_q, value_at_start
from gedanken.evidence.importance import importance_weights, weigh
from gedanken.evidence.interval import Interval
from gedanken.evidence.logged import Logged, logged, returns_of
from gedanken.evidence.prediction_powered import Bounds, PolicyValue, prediction_powered, real_alone
from gedanken.evidence.value import imagined_returns
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import State, VectorModel

ESTIMATORS = (
    "real only",
    "prediction-powered",
    "model alone",
    "importance sampling, per decision",
    "importance sampling, weighted",
    "fitted Q",
    "doubly robust",
)


@dataclass(frozen=True)
class Estimates:
    """The table.

    Attributes:
        estimates: name (see `ESTIMATORS`) -> value with its interval, in the order of the table.
        horizon, discount: what is estimated: the return over so many steps, undiscounted at 1.
        real_episodes, logged_episodes: how many there were to estimate from.
        effective_episodes: what the importance weights are worth at the worst step; `None` where there are none.
        powered: all that the prediction-powered estimate knows; `None` without a model or real episodes.
    """

    estimates: dict[str, Interval]
    horizon: int
    discount: float
    real_episodes: int
    logged_episodes: int
    effective_episodes: float | None
    powered: PolicyValue | None

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)

    def table(self) -> list[tuple[str, str]]:
        """A line an estimator: its name, and its value in words."""
        return [(name, str(interval)) for name, interval in self.estimates.items()]


def estimate(
    episodes: Sequence[Episode],
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    seed: int,
    real: Sequence[Episode] = (),
    model: VectorModel | None = None,
    starts: ArrayLike | None = None,
    rollouts: int = 10,
    discount: float = 1.0,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
    settings: FittedQ | None = None,
) -> Estimates:
    """Estimates the return of `policy` over `horizon` steps in every way there is.

    Args:
        episodes: logged, of other policies, with the log-probabilities of their actions where known.
        policy: (observation [B, D], key) -> encoded action [B, A]; a stochastic one also has
            `log_probability(observation [B, D], action [B, A]) -> [B]`.
        codec: how observations and actions become vectors.
        horizon: the time limit of the world.
        key: of everything imagined and fitted.
        seed: of the bootstraps.
        real: episodes of `policy` itself, each from a start of its own.
        model: imagines the policy from the starts of `real`, its partners, and from `starts`.
        starts: [K, D] encoded observations in which real episodes began, such as those of many free resets. `None`:
            those of `episodes`. The model's own idea of where episodes start is not trusted.
        rollouts: imagined from each start; their mean is the imagined return of that start.
        discount: of a reward for each step before it.
        confidence: of the intervals.
        bounds: what a real return cannot leave; then nothing else is assumed of its distribution.
        settings: of fitted Q evaluation.

    Raises:
        ConfigError: a count or a shape that cannot be, or as in `prediction_powered`.
    """
    if rollouts < 1:
        raise ConfigError("An imagined return needs a rollout.", given=f"rollouts={rollouts}", expected="1 or more")
    logs, own = logged(episodes, codec, horizon=horizon), logged(real, codec, horizon=horizon)
    fit_key, partner_key, model_key = jax.random.split(key, 3)
    returns = returns_of(own, discount)
    found = dict.fromkeys(ESTIMATORS, Interval.missing("there are no logged episodes"))

    found["real only"] = real_alone(returns, confidence=confidence, bounds=bounds)
    powered = None
    if model is None:
        found["model alone"] = found["prediction-powered"] = Interval.missing("there is no model")
    else:
        more = _imagined(model, policy, _starts(starts, logs, codec), rollouts, horizon, discount, model_key)
        partners = _imagined(model, policy, own.observation[own.whole, 0], rollouts, horizon, discount, partner_key)
        powered = prediction_powered(
            real=returns, imagined=partners, more_imagined=more, seed=seed, confidence=confidence, bounds=bounds
        )
        found["prediction-powered"], found["model alone"] = powered.prediction_powered, powered.model_only

    effective = None
    if logs.episodes:
        weights = importance_weights(policy, logs, codec, key=fit_key)
        effective = weights.effective
        weighed = weigh(logs, weights, discount=discount, confidence=confidence, seed=seed)
        fit = fit_q(
            logs,
            policy,
            codec,
            horizon=horizon,
            key=fit_key,
            discount=discount,
            settings=settings if settings is not None else FittedQ(),
        )
        found["importance sampling, per decision"], found["importance sampling, weighted"] = (
            weighed.per_decision,
            weighed.weighted,
        )
        found["fitted Q"] = value_at_start(
            fit, logs, policy, codec, horizon=horizon, key=fit_key, confidence=confidence
        )
        found["doubly robust"] = correct(
            fit,
            logs,
            weights,
            policy,
            codec,
            horizon=horizon,
            key=fit_key,
            discount=discount,
            confidence=confidence,
            seed=seed,
        )
    return Estimates(found, horizon, discount, len(returns), logs.episodes, effective, powered)


def _starts(starts: ArrayLike | None, logs: Logged, codec: Codec) -> NDArray[np.float32]:
    """[K, D]; K may be 0."""
    if starts is None:
        return logs.observation[:, 0]
    given = np.asarray(starts, np.float32)
    if given.ndim != 2 or given.shape[1] != codec.observation_size or not np.isfinite(given).all():
        raise ConfigError(
            "Starts are encoded observations.",
            given=f"shape {given.shape}",
            expected=f"[K, {codec.observation_size}], all finite",
            do="encode them with `codec.encode_observations`.",
        )
    return given


def _imagined(
    model: VectorModel,
    policy: Policy,
    starts: NDArray[np.float32],
    rollouts: int,
    horizon: int,
    discount: float,
    key: jax.Array,
) -> NDArray[np.float64]:
    """[K, D] starts -> [K] mean returns of `rollouts` imagined episodes from each."""
    if len(starts) == 0:
        return np.zeros(0)
    repeated = State(jnp.asarray(np.repeat(starts, rollouts, axis=0)))
    returns = imagined_returns(
        model,
        policy,
        episodes=len(starts) * rollouts,
        horizon=horizon,
        key=key,
        start=repeated,
        discount=discount,
    )
    means: NDArray[np.float64] = returns.reshape(len(starts), rollouts).mean(1)
    return means
