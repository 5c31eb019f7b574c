"""Cheaper experiments that tell something of the real one: a smaller batch, a shorter run, a coarser simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost

FULL = 1.0


@dataclass(frozen=True)
class Fidelities:
    """How faithful experiments can be, and what they then cost.

    shares: level -> share of a full experiment's price. Levels are above 0 and at most 1, which is the real
    experiment and costs all of it.

    Raises:
        ConfigError: there is no full experiment, or a level or a share is out of its range.
    """

    shares: Mapping[float, float]

    def __post_init__(self) -> None:
        fine = all(0.0 < level <= FULL and 0.0 < share <= 1.0 for level, share in self.shares.items())
        if not fine or self.shares.get(FULL) != 1.0:
            raise ConfigError(
                "Not fidelities.",
                given=dict(self.shares),
                expected="levels above 0 to 1 with shares of the price above 0 to 1, and 1 for level 1",
                do="such as {0.25: 0.1, 1: 1}.",
            )

    @property
    def levels(self) -> tuple[float, ...]:
        """From the coarsest to the real experiment."""
        return tuple(sorted(self.shares))

    def cost(self, full: Cost, level: float) -> Cost:
        """What an experiment costs at a level, whose full price is known; in whole units, rounded up."""
        if level not in self.shares:
            raise ConfigError("There is no such fidelity.", given=level, expected=", ".join(map(str, self.levels)))
        return Cost({name: math.ceil(amount * self.shares[level] - 1e-9) for name, amount in full.items()})

    @classmethod
    def from_json(cls, described: Any) -> Self:
        """Reads `{0.25: 0.1, 1: 1}`, whose keys may be words.

        Raises:
            ConfigError: it is no such map.
        """
        try:
            return cls({float(level): float(share) for level, share in described.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError("Not fidelities.", given=described, expected="such as {0.25: 0.1, 1: 1}") from error
