"""How would the selection have gone with R real episodes? Replayed many times on returns that are on record.

In a replay the world is the record: a real episode of a policy is one of its recorded real returns, drawn at random
with replacement, and its true value is their mean. So the regret of a choice is known exactly, for ours (`racing`),
for two ways without a model (`allocation`), and for trusting the model alone. The interval is that of the mean over
replays: it says how sure this number is for this record, not how another panel of policies would fare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.allocation import Pay, model_only, sequential_halving, uniform
from gedanken.evidence.belief import Floats
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.racing import race

_Way = Callable[[Pay, np.random.Generator], int]


@dataclass(frozen=True)
class Replayed:
    """How one way to choose fared.

    Attributes:
        method: `gedanken`, `sequential halving`, `uniform` or `model only`.
        regret: of the best policy's value minus the chosen one's, the mean over replays, in units of the return.
        share: the same over the difference of best and worst policy.
        found_best: the share of replays that chose a best policy (Wilson's interval).
        unlucky: the regret that one in twenty replays exceeds.
    """

    method: str
    regret: Interval
    share: Interval
    found_best: Interval
    unlucky: float | None


@dataclass(frozen=True)
class Replay:
    """The answer: all ways on the same record, `episodes` real episodes each."""

    episodes: int
    replays: int
    methods: tuple[Replayed, ...]

    def __getitem__(self, method: str) -> Replayed:
        for replayed in self.methods:
            if replayed.method == method:
                return replayed
        raise KeyError(method)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def replay(
    *,
    real: Sequence[ArrayLike],
    imagined: ArrayLike,
    episodes: int,
    replays: int = 200,
    confidence: float = 0.95,
    seed: int,
) -> Replay:
    """Spends `episodes` real episodes on K recorded policies, `replays` times in each way.

    Args:
        real: K lists of recorded real returns.
        imagined: [K] the model's values; NaN where it has none.
        episodes: to spend in each replay.
        replays: how many.
        confidence: of the intervals over replays.
        seed: each replay draws from a stream of its own, the same for every way.

    Returns:
        Missing figures, with the reason, where the record cannot stand for a world.

    Raises:
        ConfigError: an argument is out of its range, or the lengths differ.
    """
    record = [np.asarray(returns, np.float64) for returns in real]
    values = np.asarray(imagined, np.float64)
    if episodes < 1 or replays < 1:
        raise ConfigError(
            "A replay needs episodes.", given=f"{episodes} episodes, {replays} replays", expected="1 or more of both"
        )
    if values.shape != (len(record),):
        raise ConfigError(
            "Each policy needs its real returns and a value of the model.",
            given=f"{len(record)} lists of real returns, values of shape {values.shape}",
            expected="as many of each, in the same order",
        )
    ways = _ways(values, episodes)
    why = _unfit(record)
    if why:
        none = Interval.missing(why)
        return Replay(episodes, replays, tuple(Replayed(method, none, none, none, None) for method in ways))
    truth = np.array([returns.mean() for returns in record])
    methods = []
    for method, way in ways.items():
        streams = np.random.default_rng(seed).spawn(replays)
        chosen = np.array([way(_world(record, stream), stream) for stream in streams])
        methods.append(_replayed(method, truth, chosen, confidence, seed))
    return Replay(episodes, replays, tuple(methods))


def _ways(values: Floats, episodes: int) -> dict[str, _Way]:
    count = len(values)
    return {
        "gedanken": lambda pay, rng: race(pay, values, episodes, rng)[0],
        "sequential halving": lambda pay, rng: sequential_halving(pay, count, episodes, rng),
        "uniform": lambda pay, rng: uniform(pay, count, episodes, rng),
        "model only": lambda _, rng: model_only(values, rng),
    }


def _world(record: Sequence[Floats], rng: np.random.Generator) -> Pay:
    return lambda policy: float(rng.choice(record[policy]))


def _replayed(method: str, truth: Floats, chosen: NDArray[np.int64], confidence: float, seed: int) -> Replayed:
    lost = truth.max() - truth[chosen]
    regret = mean_with_interval(lost, confidence=confidence, seed=seed)
    share = mean_with_interval(lost / np.ptp(truth), confidence=confidence, seed=seed)
    # Equal up to rounding is as good.
    best, count = int((lost <= 1e-12 * max(1.0, float(np.abs(truth).max()))).sum()), len(lost)
    ends = scipy.stats.binomtest(best, count).proportion_ci(confidence, method="wilson")
    found = Interval(best / count, float(ends.low), float(ends.high), count, confidence, "wilson")
    return Replayed(method, regret, share, found, float(np.quantile(lost, 0.95)))


def _unfit(record: Sequence[Floats]) -> str:
    """Why the record cannot stand for a world; empty where it can."""
    if len(record) < 2:
        return "there is no choice between fewer than two policies"
    for returns in record:
        if returns.ndim != 1 or not np.isfinite(returns).all():
            return "a recorded real return is not finite"
        if len(returns) < 2:
            return "a policy has fewer than two recorded real returns, so its luck cannot be replayed"
    truth = [float(returns.mean()) for returns in record]
    if np.ptp(truth) <= 1e-12 * max(1.0, float(np.abs(truth).max())):
        return "all policies have the same real return, so no choice is wrong"
    return ""
