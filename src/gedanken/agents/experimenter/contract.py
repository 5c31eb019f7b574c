"""What every planner of experiments must do: say what to run next, what it expects of it, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from gedanken.experience.cost import Cost
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.fidelity import FULL
from gedanken.worlds.science.trials import Objective, Trial

Price = Callable[[Design], Cost]


class Forecast(NamedTuple):
    """What is expected of one objective, in its own unit.

    mean; epistemic: standard deviation of what more experiments would tell; aleatoric: of one measurement around it.
    low, high: between them the result lies with probability 0.9.
    """

    mean: float
    epistemic: float
    aleatoric: float
    low: float
    high: float


@dataclass(frozen=True)
class Suggestion:
    """An experiment worth running.

    forecasts: by objective; empty where the planner expects nothing. chance: the probability that it is better than the
    best so far; None where nothing is known. cost: what it costs at most. why: in words. gain: the improvement that is
    expected of it, in the unit of the only objective. worthwhile: whether what is expected of the best experiments is
    worth their price; None where nobody said what improvements are worth. fidelity: how faithful it should be, which
    forecasts and cost are of. expenses: by resource, what it is expected to cost, where that was learned.
    """

    design: Design
    why: str
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    chance: float | None = None
    cost: Cost = field(default_factory=Cost)
    gain: float | None = None
    worthwhile: bool | None = None
    fidelity: float = FULL
    expenses: Mapping[str, Forecast] = field(default_factory=dict)


@runtime_checkable
class Planner(Protocol):
    """Whoever proposes experiments: a frozen dataclass, its settings as fields."""

    @property
    def name(self) -> str:
        """As the configuration calls it."""

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
        """At most `count` experiments, all different; fewer where nothing else is left to do.

        Args:
            space: what can be set.
            objectives: what is planned by; of several, their front.
            trials: all there are. What was abandoned, completed or is under way is not suggested again.
            pool: what can be done; None where anything in the space can.
            price: what an experiment costs at most; None where all cost the same.
            seed: of everything random.

        Raises:
            ConfigError: there is no objective, or `count` is below 1.
        """
