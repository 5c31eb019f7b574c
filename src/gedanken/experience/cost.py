"""What an action costs and what may be spent: whole minor units per resource, never floats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from gedanken.errors import ConfigError


class Amounts(Mapping[str, int]):
    """An immutable map from a resource's name (`steps`, `milliseconds`, `micro_usd`, ...) to a whole amount.

    A resource that is not named has the amount 0. Addition and comparison go resource by resource.

    Raises:
        ConfigError: an amount is not a whole number, or is negative.
    """

    __slots__ = ("_amounts",)

    def __init__(self, amounts: Mapping[str, int] | None = None, /, **named: int) -> None:
        merged = {**(amounts or {}), **named}
        for resource, amount in merged.items():
            if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
                raise ConfigError(
                    f"The amount of {resource!r} is not a whole number of minor units.",
                    given=repr(amount),
                    expected="an int of 0 or more, such as micro_usd=250_000 for 25 cents",
                    do="choose a smaller unit (milliseconds, micro_usd) instead of a fraction.",
                )
        self._amounts = {name: merged[name] for name in sorted(merged) if merged[name] or self._keeps_zero}

    _keeps_zero = False

    def __getitem__(self, resource: str) -> int:
        return self._amounts[resource]

    def __iter__(self) -> Iterator[str]:
        return iter(self._amounts)

    def __len__(self) -> int:
        return len(self._amounts)

    def of(self, resource: str) -> int:
        """The amount of one resource; 0 if it is not named."""
        return self._amounts.get(resource, 0)

    def __hash__(self) -> int:
        return hash(tuple(self._amounts.items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Amounts):
            return NotImplemented
        return all(self.of(name) == other.of(name) for name in self._amounts.keys() | other._amounts.keys())

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={amount}" for name, amount in self._amounts.items())
        return f"{type(self).__name__}({inside})"


class Cost(Amounts):
    """What one action, one billing unit or a whole run costs."""

    def __add__(self, other: Cost) -> Self:
        names = self._amounts.keys() | other._amounts.keys()
        return type(self)({name: self.of(name) + other.of(name) for name in names})

    def times(self, count: int) -> Self:
        """The cost of `count` such actions."""
        return type(self)({name: amount * count for name, amount in self._amounts.items()})


class Budget(Amounts):
    """The most that may be spent. A resource it does not name is not limited; one it names with 0 is forbidden."""

    _keeps_zero = True

    def allows(self, cost: Cost) -> bool:
        """Whether `cost`, as a total, stays within every limit."""
        return all(cost.of(name) <= limit for name, limit in self._amounts.items())

    def left(self, spent: Cost) -> Budget:
        """What remains after `spent`; never below 0."""
        return Budget({name: max(0, limit - spent.of(name)) for name, limit in self._amounts.items()})
