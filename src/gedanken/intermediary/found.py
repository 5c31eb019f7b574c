"""What experiments have found: the best so far, what it did cost, and how many forecasts came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gedanken.intermediary.suggestions import Suggested
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.fidelity import FULL
from gedanken.worlds.science.trials import Objective, Trial


@dataclass(frozen=True)
class Found:
    """Where a campaign stands.

    trace: the best result after each full experiment. best: the design that brought it; None before there is one.
    inside, forecasts: how many of the 90 % intervals held what came, of how many. ended: why there was no further
    experiment. by_chance: how many by chance find as good a design in the median; None where nobody can know.
    """

    world: str
    objective: Objective
    seed: int
    paid: Mapping[str, int]
    trace: Sequence[float]
    best: Design | None
    inside: int
    forecasts: int
    seconds: float
    ended: str = ""
    by_chance: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known is null."""
        best = None if self.best is None else {self.objective.name: self.trace[-1], "design": dict(self.best)}
        share = self.inside / self.forecasts if self.forecasts else None
        return {
            "world": self.world,
            "seed": self.seed,
            "objective": {"name": self.objective.name, "goal": self.objective.goal, "unit": self.objective.unit},
            "paid": dict(self.paid),
            "best": best,
            "trace": list(self.trace),
            "coverage": {"level": 0.9, "value": share, "inside": self.inside, "forecasts": self.forecasts},
            "seconds": round(self.seconds, 1),
            "ended": self.ended,
            "by_chance": self.by_chance,
        }


def found_in(
    trials: Sequence[Trial],
    suggested: Mapping[int, Suggested],
    objective: Objective,
    *,
    world: str,
    seed: int,
    paid: Mapping[str, int],
    seconds: float,
    ended: str = "",
    by_chance: int | None = None,
) -> Found:
    """Reads what was found off trials in their order, and off the suggestions that some of them came from."""
    measured = [trial for trial in trials if trial.measured and objective.name in trial.results]
    done = [trial for trial in measured if trial.fidelity == FULL]
    values = np.array([trial.results[objective.name] for trial in done])
    better = np.maximum if objective.goal == "max" else np.minimum
    scored = [
        forecast.low <= trial.results[objective.name] <= forecast.high
        for trial in measured
        if (entry := suggested.get(int(trial.id))) is not None
        and (forecast := entry.forecasts.get(objective.name)) is not None
    ]
    return Found(
        world=world,
        objective=objective,
        seed=seed,
        paid=paid,
        trace=better.accumulate(values).tolist() if done else [],
        best=done[int(np.argmax(objective.sign * values))].design if done else None,
        inside=sum(scored),
        forecasts=len(scored),
        seconds=seconds,
        ended=ended,
        by_chance=by_chance,
    )


def median_by_chance(good: int, among: int) -> int:
    """How many draws without replacement take one of `good` things among so many, in the median."""
    none = 1.0
    for number in range(1, among + 1):
        none *= max(among - good - number + 1, 0) / (among - number + 1)
        if none <= 0.5 + 1e-9:
            return number
    return among
