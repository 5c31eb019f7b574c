"""Bayesian experiments: where the model sees a good chance of much improvement.

A design's merit is the probability of improvement (Kushner 1964) times the expected improvement (Mockus 1975), both
averaged over what the model's hyperparameters may be. The first alone is content with improvements that are next to
nothing, the second alone goes far out; on the tables that settings are chosen on, the product was never much worse than
the better of them. Of several objectives it is their hypervolume that is to be improved. Merit is multiplied by the
learned probability that the experiment succeeds, and divided by what it is expected to cost as far as thrift is asked
for.

A model that foresees its own results no better than their mean and spread do is not followed: then experiments are
drawn by chance, the more often the worse it foresees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from gedanken.agents.experimenter.acquisition import Improvement, hypervolume_improvement, improvement
from gedanken.agents.experimenter.candidates import candidates, check_asked, place
from gedanken.agents.experimenter.contract import Forecast, Price, Suggestion
from gedanken.agents.experimenter.earlier import Earlier
from gedanken.agents.experimenter.expense import Expense, learned_expense
from gedanken.agents.experimenter.surrogate import Surrogate, Waiting, encoded, fit_surrogate
from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.models.gaussian_process.average import GaussianProcess, GaussianProcessConfig
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.fidelity import FULL, Fidelities
from gedanken.worlds.science.trials import Objective, Trial

LEVEL = 0.9
"""Of the intervals in forecasts."""
_AROUND = 5
_SOUND = 0.9
"""A model with this foresight is always followed, and one with 0.5 never: with six results of the tables that settings
are chosen on it is 0.93 and more in the median, with shuffled ones 0.66 to 0.87 (from 50 results to 6)."""
Acquisition = Literal["product", "probability", "expected", "thompson"]


@dataclass(frozen=True)
class Bayesian:
    """Plans by Gaussian processes.

    Attributes:
        acquisition: the probability of improvement, how much is expected, their product, or Thompson's sampling, which
            looks at the first objective alone.
        first: experiments spread over the space before the model is asked; none where there are earlier campaigns.
        explore: whether a model that foresees nothing is left for chance.
        thrift: how much cost counts: an experiment's merit is divided by its expected cost to this power.
        worth: what a unit of the first objective is worth, in minor units of `currency`; a suggestion then says whether
            what is expected of the best experiments is worth their price (Xie et al. 2025, "Cost-aware stopping").
        currency: see `worth`.
        earlier: campaigns over the same design space.
        fidelities: how faithful experiments can be. Which design is tried is decided by what a full experiment may
            better; at which fidelity, by how much of the doubt about that it takes away for its price.
        model: the processes.
    """

    name: ClassVar[str] = "bayesian"

    acquisition: Acquisition = "product"
    first: int = 5
    explore: bool = True
    thrift: float = 0.0
    worth: float = 0.0
    currency: str = "micro_usd"
    earlier: tuple[Earlier, ...] = ()
    fidelities: Fidelities | None = None
    model: GaussianProcessConfig = field(default_factory=GaussianProcessConfig)

    def __post_init__(self) -> None:
        if self.acquisition not in ("product", "probability", "expected", "thompson"):
            raise ConfigError(
                "Not an acquisition.", given=self.acquisition, expected="product, probability, expected or thompson"
            )
        if self.first < 2 or not self.thrift >= 0 or not self.worth >= 0:
            raise ConfigError(
                "A Bayesian planner needs results to begin with, and counts costs or does not.",
                given=f"first={self.first}, thrift={self.thrift}, worth={self.worth}",
                expected="first >= 2, thrift >= 0 and worth >= 0",
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
        waiting: list[Waiting] = [(trial.design, trial.fidelity) for trial in trials if trial.state.pending]
        best = sorted(known, key=lambda trial: -objective.sign * trial.results[objective.name])[:_AROUND]
        left = candidates(space, trials, pool, around=[trial.design for trial in best], seed=seed)
        chosen: list[Suggestion] = []
        while left and len(chosen) < count:
            rng = np.random.default_rng([seed, len(chosen)])
            if len(known) < self.first and not self.earlier:
                done = [*(trial.design for trial in trials), *(design for design, _ in waiting)]
                pick, suggestion = self._spread(space, done, left, price, rng)
            else:
                surrogate = fit_surrogate(
                    space,
                    objectives,
                    trials,
                    waiting,
                    earlier=self.earlier,
                    faithful=self.fidelities is not None,
                    config=self.model,
                    seed=seed,
                )
                expense = None if price is None else learned_expense(space, trials, price)
                pick, suggestion = self._best(space, surrogate, left, expense, rng)
                if self.fidelities is not None and surrogate.processes is not None:
                    tried = {(place(space, t.design), t.fidelity) for t in trials}
                    suggestion = self._at_a_level(space, surrogate, suggestion, tried, self.fidelities)
            chosen.append(suggestion)
            waiting.append((left.pop(pick), suggestion.fidelity))
        return chosen

    def _spread(
        self,
        space: DesignSpace,
        done: Sequence[Design],
        left: Sequence[Design],
        price: Price | None,
        rng: np.random.Generator,
    ) -> tuple[int, Suggestion]:
        """The design furthest from all others; the first one by chance."""
        x = space.encode(left)
        if not done:
            pick = int(rng.integers(len(left)))
        else:
            # |a - b|^2, without the [N, M, F] differences.
            own = space.encode(done)
            squares = np.square(x).sum(1)[:, None] + np.square(own).sum(1) - 2.0 * x @ own.T
            pick = int(np.argmax(squares.min(1)))
        why = f"too few results to plan by ({len(done)} experiments, {self.first} wanted): far from all others"
        cost, level = _cost(price, left[pick]), FULL
        if self.fidelities is not None:
            level = self.fidelities.levels[0]
            cost, why = self.fidelities.cost(cost, level), f"{why}; coarsely, to see where to look"
        return pick, Suggestion(left[pick], why, cost=cost, fidelity=level)

    def _best(
        self,
        space: DesignSpace,
        surrogate: Surrogate,
        left: Sequence[Design],
        expense: Expense | None,
        rng: np.random.Generator,
    ) -> tuple[int, Suggestion]:
        price = None if expense is None else expense.price
        full = [FULL] * len(left) if surrogate.faithful else None
        x, seed = encoded(space, left, full), int(rng.integers(2**32))
        if surrogate.processes is None:
            pick = int(np.argmax(surrogate.before(x)))
            why = "nothing is known yet but earlier campaigns, which expect most of this"
            return pick, Suggestion(left[pick], why, cost=_cost(price, left[pick]))
        first = surrogate.processes[0]
        if len(surrogate.processes) == 1:
            better = improvement(first, x, surrogate.seen())
        else:
            better = hypervolume_improvement(surrogate.processes, x, seed=seed)
        costs = {} if expense is None else expense.expected(left)
        merit = self._merit(better, first, x, seed) + np.log(surrogate.success(x))
        if self.thrift and costs:
            merit = merit - self.thrift * np.log(np.maximum(sum(costs.values()), 1.0))
        foresight = first.foresight()
        by_chance = self.explore and rng.random() < (_SOUND - foresight) / (_SOUND - 0.5)
        pick = int(rng.integers(len(left))) if by_chance else int(np.argmax(merit))
        there = x[pick : pick + 1]
        forecasts = {
            objective.name: _forecast(process, there, objective.sign)
            for objective, process in zip(surrogate.objectives, surrogate.processes, strict=True)
        }
        worthwhile = None
        if self.worth:
            gains = np.exp(better.log_gain) * self.worth
            worthwhile = bool((gains >= costs.get(self.currency, np.zeros(len(left)))).any())
        likely, success = math.exp(better.log_chance[pick]), float(surrogate.success(there)[0])
        expenses = {} if expense is None else expense.forecasts(left[pick], LEVEL)
        suggestion = Suggestion(
            left[pick],
            _why(forecasts, likely, success, foresight, by_chance=by_chance) + _costing(expenses),
            forecasts,
            likely,
            _cost(price, left[pick]),
            gain=math.exp(better.log_gain[pick]) if len(forecasts) == 1 else None,
            worthwhile=worthwhile,
            expenses=expenses,
        )
        return pick, suggestion

    def _at_a_level(
        self,
        space: DesignSpace,
        surrogate: Surrogate,
        full: Suggestion,
        tried: AbstractSet[tuple[tuple[Any, ...], float]],
        fidelities: Fidelities,
    ) -> Suggestion:
        """The suggestion of a full experiment, at the fidelity that takes away most doubt about it for its price."""
        assert surrogate.processes is not None
        where = place(space, full.design)
        levels = [level for level in fidelities.levels if level == FULL or (where, level) not in tried]
        x = encoded(space, [full.design] * len(levels), levels)
        told = surrogate.processes[0].tells(x, encoded(space, [full.design], [FULL])[0])
        pick = int(np.argmax(told / np.array([fidelities.shares[level] for level in levels])))
        level = levels[pick]
        if level == FULL:
            return replace(full, why=f"{full.why}; a coarser one would tell too little for its price")
        share = fidelities.shares[level]
        why = (
            f"at fidelity {level:g}, which tells {told[pick] / max(told[-1], 1e-9):.0%} of what a full experiment "
            f"would for {share:.0%} of its price: {full.why}"
        )
        forecasts = {
            objective.name: _forecast(process, x[pick : pick + 1], objective.sign)
            for objective, process in zip(surrogate.objectives, surrogate.processes, strict=True)
        }
        cost = fidelities.cost(full.cost, level)
        return replace(full, why=why, forecasts=forecasts, cost=cost, fidelity=level, expenses={})

    def _merit(self, better: Improvement, process: GaussianProcess, x: np.ndarray, seed: int) -> np.ndarray:
        """[M]: how good an experiment is, its risk and price apart; a logarithm, but for Thompson's sampling."""
        found: np.ndarray
        match self.acquisition:
            case "product":
                found = better.log_chance + better.log_gain
            case "probability":
                found = better.log_chance
            case "expected":
                found = better.log_gain
            case "thompson":
                found = process.draw(x, 1, seed=seed)[0] / process.processes[0].scale
        return found


def _why(forecasts: Mapping[str, Forecast], likely: float, success: float, foresight: float, *, by_chance: bool) -> str:
    expected = "; ".join(f"{name} {f.mean:.4g} [{f.low:.4g}, {f.high:.4g}] expected" for name, f in forecasts.items())
    if by_chance:
        return f"by chance, because the model hardly foresees its own results ({foresight:.0%}); {expected}"
    risk = "" if success > 0.99 else f", {success:.0%} that it succeeds"
    return f"a chance of {likely:.0%} to be better than the best so far{risk}; {expected}"


def _costing(expenses: Mapping[str, Forecast]) -> str:
    return "".join(f"; {name} {f.mean:.4g} [{f.low:.4g}, {f.high:.4g}] to be paid" for name, f in expenses.items())


def _forecast(process: GaussianProcess, x: np.ndarray, sign: float) -> Forecast:
    belief = process.predict(x)
    ends = sorted(float(sign * end[0]) for end in process.interval(x, LEVEL))
    return Forecast(
        float(sign * belief.mean[0]), float(belief.epistemic[0]), float(belief.aleatoric[0]), ends[0], ends[1]
    )


def _cost(price: Price | None, design: Design) -> Cost:
    return price(design) if price is not None else Cost()
