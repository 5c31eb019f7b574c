"""Search without a model: by chance, and by changing what has been best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gedanken.agents.engineer.contract import Proposal, Tried
from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.moves import best_designs, place
from gedanken.worlds.ml_engineering.pipelines import crossed, drawn, mutated, program, sensible

_ATTEMPTS = 20
"""How often a program that is new is looked for near the best ones."""


@dataclass(frozen=True)
class RandomSearch:
    """Draws programs from the whole space."""

    name: ClassVar[str] = "random"

    def propose(
        self, kind: Kind, tried: Sequence[Tried], *, left_ms: float, limit_ms: float, seed: int
    ) -> Proposal | None:
        del tried, limit_ms
        if left_ms <= 0:
            return None
        design = drawn(kind, 1, seed=seed)[0]
        return Proposal(program(design, kind), design, "by chance")


@dataclass(frozen=True)
class Evolution:
    """Tries what is sensible, then changes and crosses the best.

    Attributes:
        parents: how many of the best are changed.
        crossing: how often two of them are crossed first.
    """

    name: ClassVar[str] = "evolution"

    parents: int = 5
    crossing: float = 0.3

    def __post_init__(self) -> None:
        if self.parents < 1 or not 0 <= self.crossing <= 1:
            raise ConfigError(
                "Not a way of changing programs.",
                given=f"parents={self.parents}, crossing={self.crossing}",
                expected="one parent or more, crossing from 0 to 1",
            )

    def propose(
        self, kind: Kind, tried: Sequence[Tried], *, left_ms: float, limit_ms: float, seed: int
    ) -> Proposal | None:
        del limit_ms
        if left_ms <= 0:
            return None
        rng = np.random.default_rng(seed)
        known = {place(one.design) for one in tried if one.design is not None}
        for design in sensible(kind):
            if place(design) not in known:
                return Proposal(program(design, kind), design, "what is usually tried first")
        best = best_designs(tried, self.parents)
        if not best:
            design = drawn(kind, 1, seed=seed)[0]
            return Proposal(program(design, kind), design, "by chance, because nothing has worked yet")
        for _ in range(_ATTEMPTS):
            parent = best[int(rng.integers(len(best)))]
            if rng.random() < self.crossing:
                parent = crossed(parent, best[int(rng.integers(len(best)))], kind, rng)
            design = mutated(parent, kind, rng)
            if place(design) not in known:
                break
        return Proposal(program(design, kind), design, "one of the best, changed")
