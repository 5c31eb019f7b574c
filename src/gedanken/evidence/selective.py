"""Does stated uncertainty find the errors? What is left of them when the least certain forecasts are not believed.

Steps are put in order of what the model says it does not know. The risk at coverage c is the mean error of the share c
of steps it is surest of; the area under that curve (AURC) is compared with the best order there is (by the errors
themselves) and with no order at all. AUROC asks the same of the errors that matter: does a step whose error is in the
worst tenth get a higher uncertainty than one whose is not?
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval, over_episodes
from gedanken.evidence.judge import Floats, Judge
from gedanken.evidence.scores import area_under_roc

COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WORST = 0.1
_GRID = 1_000


@dataclass(frozen=True)
class RiskCoverage:
    """The answer, with intervals over episodes.

    Attributes:
        coverages: shares of the steps that are believed, the surest first.
        risk: mean error among them, in the unit of the errors that were given.
        aurc: area under the curve: the mean risk over all coverages.
        aurc_best: the same if the errors themselves gave the order; `risk[-1]` is that of no order.
        gained: how much of the way from no order to the best one the uncertainty goes; 1: all, 0: none, below: worse.
        finds_worst: AUROC for "the error is in the worst tenth"; 0.5 is a coin.
        steps: what it stands on.
    """

    coverages: tuple[float, ...]
    risk: tuple[Interval, ...]
    aurc: Interval
    aurc_best: Interval
    gained: Interval
    finds_worst: Interval
    steps: int

    @classmethod
    def missing(cls, why: str, *, steps: int = 0, count: int = 0) -> RiskCoverage:
        """Where nothing was measured."""
        none = Interval.missing(why, count=count)
        return cls(COVERAGES, tuple(none for _ in COVERAGES), none, none, none, none, steps)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def risk_coverage(
    *,
    uncertainty: Floats,
    error: Floats,
    episode: NDArray[np.int64],
    confidence: float = 0.95,
    seed: int,
    resamples: int = 299,
) -> RiskCoverage:
    """Judges [N] stated uncertainties by the [N] errors (0 or more) that were made, of steps whose episodes are [N].

    Steps of equal uncertainty share their risk, so a model that says the same of every step gains nothing.
    """
    judge = Judge.of(episode, confidence=confidence, seed=seed)
    steps = len(error)
    if steps == 0:
        return RiskCoverage.missing("there are no steps")
    if not (np.isfinite(uncertainty).all() and np.isfinite(error).all()):
        why = "the model states no epistemic uncertainty"
        return RiskCoverage.missing(why, steps=steps, count=judge.episodes)
    stated, best = _Curve.of(uncertainty, error, judge), _Curve.of(error, error, judge)
    found: dict[bytes, tuple[Floats, Floats]] = {}

    def curves(chosen: NDArray[np.int64]) -> tuple[Floats, Floats]:
        # Every statistic below asks for the same resamples.
        at = chosen.tobytes()
        if at not in found:
            found[at] = (stated.summary(chosen), best.summary(chosen))
        return found[at]

    def interval(statistic: Any, bounds: tuple[float, float] = (0.0, math.inf)) -> Interval:
        return over_episodes(
            judge.episodes,
            lambda chosen: float(statistic(*curves(chosen))),
            confidence=confidence,
            seed=seed,
            bounds=bounds,
            resamples=resamples,
        )

    worst = error >= np.quantile(error, 1.0 - WORST)
    return RiskCoverage(
        coverages=COVERAGES,
        risk=tuple(interval(lambda ours, _, at=at: ours[1 + at]) for at in range(len(COVERAGES))),
        aurc=interval(lambda ours, _: ours[0]),
        aurc_best=interval(lambda _, theirs: theirs[0]),
        gained=interval(_gained, (-math.inf, 1.0)),
        finds_worst=area_under_roc(uncertainty, worst, judge.group, confidence=confidence, seed=seed),
        steps=steps,
    )


def _gained(ours: Floats, best: Floats) -> float:
    nothing = ours[-1]
    room = nothing - best[0]
    return float((nothing - ours[0]) / room) if room > 1e-12 * max(1.0, nothing) else math.nan


@dataclass(frozen=True)
class _Curve:
    """A risk-coverage curve that can be drawn again for any resample of episodes.

    group, error: [N] in the curve's order. tie: [N] which of the T different uncertainties each step has, ascending.
    """

    group: NDArray[np.int64]
    error: Floats
    tie: NDArray[np.int64]
    episodes: int

    @classmethod
    def of(cls, uncertainty: Floats, error: Floats, judge: Judge) -> _Curve:
        order = np.argsort(uncertainty, kind="stable")
        _, tie = np.unique(uncertainty[order], return_inverse=True)
        return cls(judge.group[order], error[order], tie, judge.episodes)

    def summary(self, chosen: NDArray[np.int64]) -> Floats:
        """[1 + C]: the area under the curve, and the risk at each of `COVERAGES`."""
        weight = np.bincount(chosen, minlength=self.episodes)[self.group].astype(np.float64)
        mass = np.bincount(self.tie, weight)
        seen = mass > 0.0
        mass, lost = mass[seen], np.bincount(self.tie, weight * self.error)[seen]
        # Within a tie the order is random, so its expected cumulative loss is a straight line.
        covered, total = np.concatenate([[0.0], np.cumsum(mass)]), np.concatenate([[0.0], np.cumsum(lost)])
        at = np.asarray(COVERAGES) * covered[-1]
        risk = np.interp(at, covered, total) / at
        grid = (np.arange(_GRID) + 1.0) / _GRID * covered[-1]
        area = float((np.interp(grid, covered, total) / grid).mean())
        return np.concatenate([[area], risk])
