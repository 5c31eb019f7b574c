"""Do episodes come out in the model as they do in the world? Passes and failures, crossed.

The dangerous corner is what passes in the model and fails in the world: `false_success` is how often the model lets a
real failure pass. The other corner, `false_failure`, costs only what is not tried.

`outcomes_agree` compares outcomes of whole episodes, whatever a pass is. `endings_by_horizon` asks it of endings: a
failure is an episode that really ends (terminates) within k steps of a recorded state, and the model, run open loop
with the recorded actions, lets it pass with the probability that it does not end it. Behind a recorded end the last
action is held, so that a model that is a step late is not called blind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval, over_episodes
from gedanken.evidence.judge import Floats
from gedanken.evidence.open_loop import open_loop
from gedanken.evidence.recorded import choose
from gedanken.evidence.windows import ascending, windows_at
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import VectorModel

_SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Agreement:
    """Passes and failures of the same things in the world and in the model.

    Attributes:
        false_success: of what failed for real, the share that passes in the model.
        false_failure: of what passed for real, the share that fails in the model.
        pass_in_model_only, fail_in_model_only: the same as shares of everything.
        agree: share of everything that comes out alike.
        failures, passes: how many there really were.
    """

    false_success: Interval
    false_failure: Interval
    pass_in_model_only: Interval
    fail_in_model_only: Interval
    agree: Interval
    failures: int
    passes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class EndingsByHorizon:
    """Endings within k steps, one entry a horizon. Counts are of recorded states; intervals over episodes."""

    horizons: tuple[int, ...]
    outcomes: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def outcomes_agree(*, real: ArrayLike, imagined: ArrayLike, seed: int, confidence: float = 0.95) -> Agreement:
    """Compares outcomes of N episodes, the i-th of both from the same start.

    Args:
        real: [N] whether it passed in the world.
        imagined: [N] whether it passed in the model, or with which probability.
        seed: of the bootstrap.
        confidence: of the intervals, which resample episodes.

    Raises:
        ConfigError: the counts differ, or a value is none from 0 to 1.
    """
    passed, let = np.asarray(real, np.float64), np.asarray(imagined, np.float64)
    if passed.shape != let.shape or passed.ndim != 1:
        raise ConfigError(
            "Outcomes must come in pairs.",
            given=f"{passed.shape} real and {let.shape} imagined ones",
            expected="as many of the one as of the other, in the same order",
        )
    if not (np.isin(passed, (0.0, 1.0)).all() and ((let >= 0.0) & (let <= 1.0)).all()):
        raise ConfigError(
            "An outcome is a pass or a failure.", expected="real: True or False; imagined: a probability of passing"
        )
    failed = 1.0 - passed
    counts = int(failed.sum()), int(passed.sum())
    return _agreement(failed, failed * let, passed, passed * (1.0 - let), counts, confidence=confidence, seed=seed)


def endings_by_horizon(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    horizons: Sequence[int] = (1, 5, 20, 50),
    key: jax.Array,
    seed: int,
    starts: int = 16,
    confidence: float = 0.95,
) -> EndingsByHorizon:
    """Crosses real and imagined endings on recorded (best: held-out) episodes.

    Of each episode and horizon, at most `starts` states from which it ends and as many from which it goes on are asked;
    shares of everything weigh them by how many such states there are. What came after a cut is not known, so a state
    within k steps of a cut does not count.

    Args:
        model, episodes, codec, horizons, key, seed, confidence: as in `fidelity.error_by_horizon`.
        starts: at most so many states of each kind, episode and horizon.

    Raises:
        ConfigError: `horizons` do not ascend from 1, or `starts` is below 1.
    """
    steps = ascending(horizons)
    if starts < 1:
        raise ConfigError("At least one start an episode is needed.", given=starts, expected="starts >= 1")
    asked = _draw(episodes, steps, starts, np.random.default_rng(seed))
    if len(asked.start) == 0:
        nothing = _missing("there are no recorded steps")
        return EndingsByHorizon(steps, tuple(nothing for _ in steps))
    by_episode = [asked.start[asked.episode == position] for position in range(len(episodes))]
    windows = windows_at(episodes, codec, horizons=steps, starts=by_episode)
    path = open_loop(model, windows.observation, windows.action, horizons=steps, key=key)
    alive = np.cumprod(1.0 - path.ending.astype(np.float64), axis=1)
    at = np.asarray(steps)[asked.horizon] - 1
    passes = alive[np.arange(len(at)), at]
    found = []
    for h in range(len(steps)):
        here = asked.horizon == h
        found.append(_crossed(asked.of(here), passes[here], len(episodes), confidence=confidence, seed=seed))
    return EndingsByHorizon(steps, tuple(found))


class _Asked(NamedTuple):
    """[N] each: a state by its episode and step, the horizon's place, whether it really failed, and how many like it
    there are for each that was drawn.
    """

    episode: NDArray[np.int64]
    start: NDArray[np.int64]
    horizon: NDArray[np.int64]
    failed: NDArray[np.bool_]
    weight: Floats

    def of(self, rows: NDArray[np.bool_]) -> _Asked:
        return _Asked(self.episode[rows], self.start[rows], self.horizon[rows], self.failed[rows], self.weight[rows])


def _draw(episodes: Sequence[Episode], horizons: tuple[int, ...], starts: int, rng: np.random.Generator) -> _Asked:
    """Ordered by episode."""
    parts: list[_Asked] = []
    for position, episode in enumerate(episodes):
        length = len(episode)
        ended = bool(length and episode.terminated[-1])
        for h, horizon in enumerate(horizons):
            # From the last `horizon` states it ends; where it was cut, nobody knows what would have come.
            first = max(0, length - horizon) if ended else length
            going_on = first if ended else max(0, length - horizon + 1)
            for failed, begin, end in ((True, first, length), (False, 0, going_on)):
                if end > begin:
                    drawn = begin + choose(end - begin, starts, rng)
                    every = np.ones(len(drawn), np.int64)
                    weight = every * (end - begin) / len(drawn)
                    parts.append(_Asked(every * position, drawn, every * h, every * failed == 1, weight))
    if not parts:
        none = np.zeros(0, np.int64)
        return _Asked(none, none, none, none == 1, none.astype(np.float64))
    return _Asked(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _crossed(asked: _Asked, passes: Floats, episodes: int, *, confidence: float, seed: int) -> Agreement:
    if len(passes) == 0:
        return _missing("no recorded episode is so long")
    if not np.isfinite(passes).all():
        return _missing("the model gave no probability of an ending")

    def sums(values: Floats) -> Floats:
        return np.bincount(asked.episode, values, episodes).astype(np.float64)

    failed, passed = asked.weight * asked.failed, asked.weight * ~asked.failed
    counts = round(float(failed.sum())), round(float(passed.sum()))
    parts = sums(failed), sums(failed * passes), sums(passed), sums(passed * (1.0 - passes))
    return _agreement(*parts, counts, confidence=confidence, seed=seed)


def _agreement(
    failed: Floats,
    failed_let_pass: Floats,
    passed: Floats,
    passed_let_fail: Floats,
    counts: tuple[int, int],
    *,
    confidence: float,
    seed: int,
) -> Agreement:
    """From what each of E episodes adds: real failures [E], those that pass in the model [E]; the same of passes."""
    everything = failed + passed

    def share(part: Floats, whole: Floats, missing: str) -> Interval:
        keep = whole > 0.0
        some, of = part[keep], whole[keep]
        if not keep.any():
            return Interval.missing(missing)

        def statistic(chosen: NDArray[np.int64]) -> float:
            divisor = float(of[chosen].sum())
            return float(some[chosen].sum()) / divisor if divisor > 0.0 else math.nan

        return over_episodes(len(of), statistic, confidence=confidence, seed=seed, bounds=_SHARE)

    none = "there are no episodes"
    return Agreement(
        false_success=share(failed_let_pass, failed, "nothing failed for real"),
        false_failure=share(passed_let_fail, passed, "nothing passed for real"),
        pass_in_model_only=share(failed_let_pass, everything, none),
        fail_in_model_only=share(passed_let_fail, everything, none),
        agree=share(everything - failed_let_pass - passed_let_fail, everything, none),
        failures=counts[0],
        passes=counts[1],
    )


def _missing(why: str) -> Agreement:
    none = Interval.missing(why)
    return Agreement(none, none, none, none, none, 0, 0)
