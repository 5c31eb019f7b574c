"""Bayesian experiments: where the model gives the best chance of doing better than the best so far.

With a pool of some hundred designs, few of which are good, the probability of improvement (Kushner 1964) over the best
*expected* result found a top design in about as many experiments as expected improvement, or fewer, once the model's
hyperparameters are averaged over (benchmarks/science.py measures both). What the average does not agree upon keeps
it exploring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from scipy.special import log_ndtr, logsumexp

from gedanken.agents.experimenter.candidates import candidates, check_asked
from gedanken.agents.experimenter.contract import Forecast, Price, Suggestion
from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.models.gaussian_process.average import GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.worlds.science.design import DesignSpace
from gedanken.worlds.science.parameters import Design
from gedanken.worlds.science.trials import Objective, Trial

LEVEL = 0.9
"""Of the intervals in forecasts."""
_AROUND = 5


@dataclass(frozen=True)
class Bayesian:
    """Plans by a Gaussian process.

    Attributes:
        acquisition: "probability" or "expected" improvement.
        first: experiments spread over the space before the model is asked.
        thrift: how much cost counts: an experiment's merit is divided by its price to this power. 0: not at all.
        model: the process.
    """

    name: ClassVar[str] = "bayesian"

    acquisition: Literal["probability", "expected"] = "probability"
    first: int = 5
    thrift: float = 0.0
    model: GaussianProcessConfig = field(default_factory=GaussianProcessConfig)

    def __post_init__(self) -> None:
        if self.acquisition not in ("probability", "expected"):
            raise ConfigError("Not an acquisition.", given=self.acquisition, expected='"probability" or "expected"')
        if self.first < 2 or not self.thrift >= 0:
            raise ConfigError(
                "A Bayesian planner needs results to begin with, and counts costs or does not.",
                given=f"first={self.first}, thrift={self.thrift}",
                expected="first >= 2 and thrift >= 0",
            )

    def suggest(
        self,
        space: DesignSpace,
        objectives: Sequence[Objective],
        trials: Sequence[Trial],
        *,
        pool: Sequence[Design] | None = None,
        count: int = 1,
        price: Price | None = None,
        seed: int,
    ) -> list[Suggestion]:
        check_asked(objectives, count)
        objective = objectives[0]
        known = [trial for trial in trials if trial.measured and objective.name in trial.results]
        waiting = [trial.design for trial in trials if trial.state.pending]
        best = sorted(known, key=lambda trial: -objective.sign * trial.results[objective.name])[:_AROUND]
        left = candidates(space, trials, pool, around=[trial.design for trial in best], seed=seed)
        chosen: list[Suggestion] = []
        while left and len(chosen) < count:
            if len(known) < self.first:
                pick, suggestion = self._spread(space, [*[t.design for t in trials], *waiting], left, price, seed)
            else:
                pick, suggestion = self._best(space, objective, known, waiting, left, price, seed)
            chosen.append(suggestion)
            waiting.append(left.pop(pick))
        return chosen

    def _spread(
        self,
        space: DesignSpace,
        done: Sequence[Design],
        left: Sequence[Design],
        price: Price | None,
        seed: int,
    ) -> tuple[int, Suggestion]:
        """The design furthest from all others; the first one by chance."""
        x = space.encode(left)
        if not done:
            pick = int(np.random.default_rng(seed).integers(len(left)))
        else:
            # |a - b|^2, without the [N, M, F] differences.
            own = space.encode(done)
            squares = np.square(x).sum(1)[:, None] + np.square(own).sum(1) - 2.0 * x @ own.T
            pick = int(np.argmax(squares.min(1)))
        why = f"too few results to plan by ({len(done)} experiments, {self.first} wanted): far from all others"
        return pick, Suggestion(left[pick], why, cost=_cost(price, left[pick]))

    def _best(
        self,
        space: DesignSpace,
        objective: Objective,
        known: Sequence[Trial],
        waiting: Sequence[Design],
        left: Sequence[Design],
        price: Price | None,
        seed: int,
    ) -> tuple[int, Suggestion]:
        x = space.encode([trial.design for trial in known])
        y = objective.sign * np.array([trial.results[objective.name] for trial in known])
        process = fit_gaussian_process(space.groups, x, y, config=self.model, seed=seed)
        if waiting:
            # What is under way is believed to bring what is expected, which leaves no reason to go there again.
            pending = space.encode(waiting)
            x, y = np.vstack([x, pending]), np.r_[y, process.predict(pending).mean]
            process = fit_gaussian_process(space.groups, x, y, config=self.model, seed=seed)
        there = space.encode(left)
        chance, merit = improvement(process, there, x, self.acquisition)
        if price is not None and self.thrift:
            total = np.array([max(sum(_cost(price, design).values()), 1) for design in left], np.float64)
            merit = merit - self.thrift * np.log(total)
        pick = int(np.argmax(merit))
        forecast = _forecast(process, there[pick : pick + 1], objective.sign)
        likely = math.exp(chance[pick])
        why = (
            f"a chance of {likely:.0%} to be better than the best so far; "
            f"{objective.name} {forecast.mean:.4g} [{forecast.low:.4g}, {forecast.high:.4g}] expected"
        )
        suggestion = Suggestion(left[pick], why, {objective.name: forecast}, likely, _cost(price, left[pick]))
        return pick, suggestion


def improvement(
    process: GaussianProcess, x: np.ndarray, seen: np.ndarray, kind: Literal["probability", "expected"]
) -> tuple[np.ndarray, np.ndarray]:
    """How much designs may better the best of what was seen, by expected results, not by lucky measurements.

    Args:
        process: of results of which more is better.
        x: [M, F] encoded designs.
        seen: [N, F] those with results.
        kind: what the second answer is.

    Returns:
        The logarithm of the probability of improvement [M], and of it or of the expected improvement [M].
    """
    mean, epistemic, _ = process.beliefs(x)
    own = process.beliefs(seen).mean
    weights = process.weights[:, None]
    z = (mean - (process.weights @ own).max()) / epistemic
    chance: np.ndarray = logsumexp(log_ndtr(z), axis=0, b=weights)
    if kind == "probability":
        return chance, chance
    each = (mean - own.max(1)[:, None]) / epistemic
    expected: np.ndarray = logsumexp(log_improvement(each) + np.log(epistemic), axis=0, b=weights)
    return chance, expected


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


def _forecast(process: GaussianProcess, x: np.ndarray, sign: float) -> Forecast:
    belief = process.predict(x)
    ends = sorted(float(sign * end[0]) for end in process.interval(x, LEVEL))
    return Forecast(
        float(sign * belief.mean[0]), float(belief.epistemic[0]), float(belief.aleatoric[0]), ends[0], ends[1]
    )


def _cost(price: Price | None, design: Design) -> Cost:
    return price(design) if price is not None else Cost()
