"""What an experiment costs: something each, something for a choice, something for every unit of what is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Design

EACH = "each"
"""In a price list, what every experiment costs, whatever its design."""


@dataclass(frozen=True)
class PriceList:
    """Whole minor units by resource, rounded up.

    Attributes:
        each: resource -> of every experiment.
        of_level: resource -> parameter -> level -> what choosing it adds. of_unit: resource -> parameter -> what each
            unit of a number adds.
    """

    each: Mapping[str, int] = field(default_factory=lambda: {"experiments": 1})
    of_level: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    of_unit: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __call__(self, design: Design) -> Cost:
        """The most that an experiment of this design costs."""
        total = {name: float(amount) for name, amount in self.each.items()}
        for resource, parameters in self.of_level.items():
            for parameter, levels in parameters.items():
                total[resource] = total.get(resource, 0.0) + levels[str(design[parameter])]
        for resource, units in self.of_unit.items():
            for parameter, amount in units.items():
                total[resource] = total.get(resource, 0.0) + amount * float(design[parameter])
        return Cost({name: math.ceil(amount - 1e-9) for name, amount in total.items()})

    @property
    def resources(self) -> frozenset[str]:
        """Everything that an experiment may cost."""
        return frozenset(self.each) | frozenset(self.of_level) | frozenset(self.of_unit)

    def to_json(self) -> dict[str, Any]:
        """Plain values, which `from_json` reads."""
        told: dict[str, Any] = {}
        for resource in sorted(self.resources):
            extra = {**self.of_level.get(resource, {}), **self.of_unit.get(resource, {})}
            extra = {name: dict(part) if isinstance(part, Mapping) else part for name, part in extra.items()}
            each = self.each.get(resource, 0)
            told[resource] = {EACH: each, **extra} if extra else each
        return told

    @classmethod
    def from_json(cls, described: Any, space: DesignSpace) -> Self:
        """Reads what a person wrote: by resource an amount, or `each` and amounts by parameter.

        Raises:
            ConfigError: a parameter is unknown, a level has no price, an amount is no number or below 0, or nothing
                costs anything.
        """
        if not isinstance(described, Mapping) or not described:
            raise ConfigError(
                "What does an experiment cost?", given=described, expected="such as `prices: {experiments: 1}`"
            )
        known = {parameter.name: parameter for parameter in space.parameters}
        each: dict[str, int] = {}
        of_level: dict[str, dict[str, dict[str, float]]] = {}
        of_unit: dict[str, dict[str, float]] = {}
        for resource, parts in described.items():
            parts = parts if isinstance(parts, Mapping) else {EACH: parts}
            for name, amount in parts.items():
                if name == EACH:
                    each[str(resource)] = _whole(resource, amount)
                elif name not in known:
                    raise ConfigError(
                        f"The price list names a parameter that is none: {name!r}.", expected=", ".join(known)
                    )
                elif isinstance(parameter := known[name], Categorical):
                    levels = amount if isinstance(amount, Mapping) else {}
                    if set(map(str, levels)) != set(parameter.levels):
                        raise ConfigError(
                            f"The price list of {name!r} does not fit its levels.",
                            given=", ".join(map(str, levels)) or amount,
                            expected=", ".join(parameter.levels),
                        )
                    priced = {str(level): _amount(name, price) for level, price in levels.items()}
                    of_level.setdefault(str(resource), {})[name] = priced
                else:
                    if parameter.low < 0:
                        raise ConfigError(
                            f"A unit of {name!r} has no price, because it can be below 0.", given=f"{parameter.low:g}"
                        )
                    of_unit.setdefault(str(resource), {})[name] = _amount(name, amount)
        return cls(each, of_level, of_unit)


def _whole(resource: Any, amount: Any) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
        raise ConfigError(
            f"The price in {resource!r} is not a whole number of minor units.",
            given=repr(amount),
            expected="such as micro_usd: 250000 for 25 cents",
        )
    return amount


def _amount(name: Any, amount: Any) -> float:
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < math.inf:
        raise ConfigError(f"The price of {name!r} is no number.", given=repr(amount), expected="0 or more")
    return float(amount)
