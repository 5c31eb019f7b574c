"""What is the policy worth? Returns in the model beside returns in the world, each with its interval.

`real` and `imagined` are keyword-only everywhere: swapped, they give a plausible and wrong answer.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from gedanken.dreams.rollout import Policy, imagine
from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.models.contract import State, VectorModel

CHUNK = 1_000
"""Episodes imagined side by side; bounds the memory, whatever the number of episodes."""


@dataclass(frozen=True)
class ValueComparison:
    """Returns of one policy in the model and in the world.

    Attributes:
        real, imagined: mean return of each, with its interval.
        difference: imagined minus real; above 0 the model promises too much.
        relative_error: difference over |real|.
        paired: whether the i-th real and the i-th imagined episode started from the same state or seed.
    """

    real: Interval
    imagined: Interval
    difference: Interval
    relative_error: Interval
    paired: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def imagined_returns(
    model: VectorModel,
    policy: Policy,
    *,
    episodes: int,
    horizon: int,
    key: jax.Array,
    tasks: Any = None,
    start: State | None = None,
    discount: float = 1.0,
) -> NDArray[np.float64]:
    """Returns [episodes] of a policy in a model, from the start to the termination or the horizon.

    Nothing is truncated: a return that leaves out what the model is unsure of is no return. A rollout in which the
    model answered what is not finite has the return NaN.

    Args:
        model: any numeric world model.
        policy: (observation [B, D], key) -> encoded action [B, A]; an `equinox.Module` compiles once for all weights.
        episodes: how many.
        horizon: the time limit of the world.
        key: all randomness comes from it.
        tasks: which tasks the model starts in; None: whatever the world was seen to give.
        start: start states [episodes, D] to use instead, such as those of the real episodes they are paired with.
        discount: of a reward for each step before it; 1 for the undiscounted return.

    Raises:
        ConfigError: `episodes` is not positive, or differs from the number of start states.
    """
    if episodes < 1:
        raise ConfigError("No episode, no return.", given=f"episodes={episodes}", expected="1 or more")
    start_key, roll_key = jax.random.split(key)
    if start is None:
        start = model.start(tasks, start_key, batch=episodes)
    given = len(start.observation)
    if given != episodes:
        raise ConfigError("Start states and episodes do not pair up.", given=f"{given} states", expected=episodes)
    chunk = min(CHUNK, episodes)
    parts = []
    for number, first in enumerate(range(0, episodes, chunk)):
        # The last chunk is filled up with repeats, so that one compiled shape serves all.
        rows = np.minimum(np.arange(first, first + chunk), episodes - 1)
        some = jax.tree.map(lambda leaf, rows=rows: leaf[rows], start)
        found = _returns(model, policy, some, jax.random.fold_in(roll_key, number), horizon, discount)
        parts.append(np.asarray(found, np.float64)[: episodes - first])
    return np.concatenate(parts)


@eqx.filter_jit
def _returns(
    model: VectorModel, policy: Policy, start: State, key: jax.Array, horizon: int, discount: float
) -> jax.Array:
    rollout = imagine(model, policy, start, key, horizon=horizon)
    weight = discount ** jnp.arange(horizon)[:, None]
    total = jnp.where(rollout.valid, weight * rollout.reward, 0.0).sum(0)
    # Without a truncation rule only an answer that is not finite cuts.
    return jnp.where(rollout.cut.any(0), jnp.nan, total)


def imagined_against_real(
    *, real: ArrayLike, imagined: ArrayLike, paired: bool, seed: int, confidence: float = 0.95
) -> ValueComparison:
    """Compares returns of the same policy in the world and in the model.

    Args:
        real: [N] returns of episodes that were paid for.
        imagined: [K] returns of imagined episodes; with `paired`, K = N and in the same order of starts.
        paired: compare start by start, which cancels the luck of the start.
        seed: of the bootstrap.
        confidence: of the intervals.

    Raises:
        ConfigError: paired returns of different counts.
    """
    world, model = np.asarray(real, np.float64), np.asarray(imagined, np.float64)
    if paired and len(world) != len(model):
        raise ConfigError(
            "Paired returns must come in pairs.",
            given=f"{len(world)} real and {len(model)} imagined returns",
            expected="as many of the one as of the other, in the same order",
            do="pass paired=False to compare them as two independent samples.",
        )
    of_world = mean_with_interval(world, confidence=confidence, seed=seed)
    of_model = mean_with_interval(model, confidence=confidence, seed=seed)
    if of_world.mean is None or of_model.mean is None:
        side = f"real: {of_world.reason}" if of_world.mean is None else f"imagined: {of_model.reason}"
        none = Interval.missing(side, count=min(len(world), len(model)))
        return ValueComparison(of_world, of_model, none, none, paired)
    if paired:
        difference = mean_with_interval(model - world, confidence=confidence, seed=seed)
    else:
        difference = _welch(world, model, confidence)
    relative = _relative(world, model, paired, confidence)
    return ValueComparison(of_world, of_model, difference, relative, paired)


def _welch(world: NDArray[np.float64], model: NDArray[np.float64], confidence: float) -> Interval:
    """Difference of two independent means; Welch's t interval, which allows them different spreads."""
    value, count = float(model.mean() - world.mean()), min(len(world), len(model))
    if count < 2:
        return Interval(value, None, None, count, confidence, reason="one value has no spread")
    parts = np.array([sample.var(ddof=1) / len(sample) for sample in (world, model)])
    total = float(parts.sum())
    if total == 0.0:
        return Interval(value, value, value, count, confidence, "welch-t")
    freedom = total**2 / float((parts**2 / (np.array([len(world), len(model)]) - 1)).sum())
    return _student(value, math.sqrt(total), freedom, count, confidence, "welch-t")


def _relative(world: NDArray[np.float64], model: NDArray[np.float64], paired: bool, confidence: float) -> Interval:
    """(imagined - real) / |real|, its error linearised in both means (the delta method)."""
    base, promise, count = float(world.mean()), float(model.mean()), min(len(world), len(model))
    if abs(base) <= 1e-12 * max(1.0, abs(promise)):
        return Interval.missing("the real return is 0", count=count)
    value = (promise - base) / abs(base)
    if count < 2:
        return Interval(value, None, None, count, confidence, reason="one value has no spread")
    # d value = d promise / |base| - promise * sign(base) * d base / base^2
    of_model, of_world = (model - promise) / abs(base), (world - base) * promise * math.copysign(1.0, base) / base**2
    if paired:
        error = float((of_model - of_world).std(ddof=1)) / math.sqrt(count)
    else:
        error = math.sqrt(float(of_model.var(ddof=1)) / len(model) + float(of_world.var(ddof=1)) / len(world))
    return _student(value, error, count - 1, count, confidence, "delta-t")


def _student(value: float, error: float, freedom: float, count: int, confidence: float, method: str) -> Interval:
    half = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, freedom)) * error
    return Interval(value, value - half, value + half, count, confidence, method)
