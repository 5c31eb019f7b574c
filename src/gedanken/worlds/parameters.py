"""What can be set in an experiment: numbers with bounds and units, and choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gedanken.errors import ConfigError

Value = float | int | str
Design = Mapping[str, Value]
"""One experiment: a value for each parameter."""


@dataclass(frozen=True)
class Continuous:
    """A real number in [low, high]. With `log`, ratios count and not differences: 1 to 10 is as far as 10 to 100."""

    name: str
    low: float
    high: float
    unit: str = ""
    log: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"Parameter {self.name!r} has no range.", given=f"{self.low} to {self.high}", expected="low below high"
            )
        if self.log and self.low <= 0:
            raise ConfigError(
                f"Parameter {self.name!r} counts ratios.", given=f"low={self.low}", expected="a low above 0"
            )

    @property
    def width(self) -> int:
        """How many encoded columns it takes."""
        return 1

    def checked(self, value: Any) -> float:
        """The value as a float within the bounds."""
        number = _number(self, value)
        # What was written with a few digits may lie a rounding outside.
        slack = 1e-9 * (self.high - self.low)
        if not self.low - slack <= number <= self.high + slack:
            raise _outside(self, value)
        return min(max(number, self.low), self.high)

    def encoded(self, value: float) -> list[float]:
        """In [0, 1]."""
        low, high, number = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return [(number - low) / (high - low)]

    def decoded(self, columns: np.ndarray) -> float:
        """The value at [1] in [0, 1]; outside, the nearest bound."""
        share = min(max(float(columns[0]), 0.0), 1.0)
        if self.log:
            return self.checked(math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low))))
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high]."""

    name: str
    low: int
    high: int
    unit: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.low < self.high:
            raise ConfigError(
                f"Parameter {self.name!r} has no range.", given=f"{self.low} to {self.high}", expected="low below high"
            )

    @property
    def width(self) -> int:
        return 1

    def checked(self, value: Any) -> int:
        """The value as an int within the bounds."""
        number = _number(self, value)
        if number != int(number):
            raise ConfigError(f"Parameter {self.name!r} is a whole number.", given=repr(value))
        if not self.low <= number <= self.high:
            raise _outside(self, value)
        return int(number)

    def encoded(self, value: int) -> list[float]:
        return [(value - self.low) / (self.high - self.low)]

    def decoded(self, columns: np.ndarray) -> int:
        share = min(max(float(columns[0]), 0.0), 1.0)
        return self.low + round(share * (self.high - self.low))


@dataclass(frozen=True)
class Categorical:
    """One of some levels that have no order. `features`: numbers known of each level, such as a solvent's polarity."""

    name: str
    levels: tuple[str, ...]
    features: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.levels) < 2 or len(set(self.levels)) < len(self.levels):
            raise ConfigError(
                f"Parameter {self.name!r} is no choice.",
                given=list(self.levels),
                expected="two levels or more, all different",
            )
        if self.features and (len(self.features) != len(self.levels) or len({len(row) for row in self.features}) > 1):
            raise ConfigError(
                f"Parameter {self.name!r} does not know the same of all its levels.",
                given=f"{len(self.features)} rows of {sorted({len(row) for row in self.features})} numbers",
                expected=f"{len(self.levels)} rows of the same length",
            )

    @property
    def unit(self) -> str:
        """Choices have none."""
        return ""

    @property
    def width(self) -> int:
        return len(self.levels)

    def checked(self, value: Any) -> str:
        """The value, if it is one of the levels."""
        if str(value) not in self.levels:
            raise ConfigError(
                f"Parameter {self.name!r} has no such level.",
                given=repr(value),
                expected=", ".join(self.levels[:12]) + (", ..." if len(self.levels) > 12 else ""),
            )
        return str(value)

    def encoded(self, value: str) -> list[float]:
        return [float(level == value) for level in self.levels]

    def decoded(self, columns: np.ndarray) -> str:
        """The level of the largest column."""
        return self.levels[int(np.argmax(columns))]


Parameter = Continuous | Integer | Categorical


def _check_name(name: str) -> None:
    if not name or name != name.strip():
        raise ConfigError("A parameter needs a name without blanks around it.", given=repr(name))


def _number(parameter: Continuous | Integer, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ConfigError(f"Parameter {parameter.name!r} is a number.", given=repr(value), expected=_range(parameter))
    return number


def _outside(parameter: Continuous | Integer, value: Any) -> ConfigError:
    return ConfigError(f"Parameter {parameter.name!r} is out of bounds.", given=repr(value), expected=_range(parameter))


def _range(parameter: Continuous | Integer) -> str:
    return f"{parameter.low:g} to {parameter.high:g} {parameter.unit}".rstrip()
