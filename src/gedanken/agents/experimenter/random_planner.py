"""The planner that knows nothing: what every other one has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gedanken.agents.experimenter.candidates import candidates, check_asked
from gedanken.agents.experimenter.contract import Price, Suggestion
from gedanken.experience.cost import Cost
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.trials import Objective, Trial


@dataclass(frozen=True)
class Random:
    """Experiments by chance."""

    name: ClassVar[str] = "random"

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
        left = candidates(space, trials, pool, seed=seed)
        chosen = np.random.default_rng(seed).permutation(len(left))[:count]
        return [Suggestion(left[i], "by chance", cost=price(left[i]) if price else Cost()) for i in chosen]
