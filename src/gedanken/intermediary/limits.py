"""What may not happen, and whether a rehearsal says that it would."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from gedanken.errors import ConfigError
from gedanken.experience.cost import Budget
from gedanken.intermediary.rehearse import Rehearsal, plain

Kind = Literal["observation", "return", "termination", "cost", "unknown"]


@dataclass(frozen=True)
class Breach:
    """One limit that a predicted outcome breaks, or (`unknown`) what the model would have to know and does not.

    Attributes:
        kind: which sort of limit.
        predicted: the predicted value; NaN where the model has none.
        limit: what it was held against.
        probability: that the limit is broken, NaN where none was computed.
        words: the same for a reader.
    """

    kind: Kind
    predicted: float
    limit: float
    probability: float
    words: str

    def __str__(self) -> str:
        return self.words

    def to_json(self) -> dict[str, Any]:
        """Plain data; None where a value is not known."""
        return {name: plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Limits:
    """What may not happen within the horizon of a rehearsal.

    Raises:
        ConfigError: a limit is not finite, out of range, or contradicts another.
    """

    observation_low: dict[int, float] = field(default_factory=dict)
    """dimension of the encoded observation -> the lowest admissible value, in the observation's units"""
    observation_high: dict[int, float] = field(default_factory=dict)
    """dimension -> the highest admissible value"""
    least_return: float | None = None
    """the lowest admissible return, discounted as the rehearsal is"""
    most_termination: float | None = None
    """the highest admissible probability that the episode terminates"""
    least_confidence: float | None = 0.5
    """what the first step's confidence must reach, else the model does not know; None: its confidence is not asked"""
    least_confidence_ahead: float | None = None
    """what the lowest confidence over the horizon must reach; None: it is not asked"""
    most_cost: dict[str, int] = field(default_factory=dict)
    """resource -> the highest admissible expected cost"""
    most_risk: float = 0.05
    """the probability up to which a limit of observation or return may be broken"""

    def __post_init__(self) -> None:
        for name in ("observation_low", "observation_high"):
            # Files hold keys as texts; the mapping is copied, so that nobody can change it later.
            bounds = {int(key) if _is_index(key) else key: value for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, bounds)
            for dimension, value in bounds.items():
                if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 0:
                    raise ConfigError(
                        f"Limits.{name} names a dimension that cannot be.",
                        given=repr(dimension),
                        expected="the index of a dimension of the encoded observation, from 0",
                    )
                _check(f"{name}[{dimension}]", value, -math.inf, math.inf)
        for dimension in self.observation_low.keys() & self.observation_high.keys():
            low, high = self.observation_low[dimension], self.observation_high[dimension]
            if low >= high:
                raise ConfigError(
                    f"The limits of observation[{dimension}] leave nothing between them.",
                    given=f"low={low}, high={high}",
                    expected="low < high",
                )
        for name in ("most_termination", "least_confidence", "least_confidence_ahead", "most_risk"):
            _check(name, getattr(self, name), 0.0, 1.0)
        _check("least_return", self.least_return, -math.inf, math.inf)
        object.__setattr__(self, "most_cost", dict(Budget(self.most_cost)))  # refuses what is negative or not whole

    def check_size(self, observation_size: int) -> None:
        """Refuses limits on dimensions that an observation of this size does not have.

        Raises:
            ConfigError: there is one.
        """
        highest = max([*self.observation_low, *self.observation_high], default=-1)
        if highest >= observation_size:
            raise ConfigError(
                "A limit is on a dimension that the observation does not have.",
                given=f"observation[{highest}]",
                expected=f"0 to {observation_size - 1}",
            )

    def breaches(self, rehearsal: Rehearsal) -> tuple[Breach, ...]:
        """What the rehearsal predicts that may not be, and what it would have to know and does not."""
        found = [*self._unknown(rehearsal)]
        if rehearsal.lost == 1.0:
            return tuple(found)
        for sign, dimension, limit, risk in self._risks(rehearsal):
            if risk > self.most_risk:
                most = (rehearsal.lowest if sign == "<" else rehearsal.highest)[dimension]
                found.append(_breach("observation", f"observation[{dimension}]", float(most), sign, limit, risk))
        if self.least_return is not None:
            risk = float((rehearsal.draws.returns < self.least_return).mean())
            if risk > self.most_risk:
                found.append(_breach("return", "return", rehearsal.returns.low, "<", self.least_return, risk))
        if self.most_termination is not None and rehearsal.ends > self.most_termination:
            words = f"predicted termination with probability {rehearsal.ends:.2f} > limit {self.most_termination:.2f}"
            found.append(Breach("termination", rehearsal.ends, self.most_termination, rehearsal.ends, words))
        for resource, amount in sorted(self.most_cost.items()):
            cost = rehearsal.cost.get(resource, math.nan)
            if cost > amount:
                words = f"predicted cost of {cost:.3g} {resource} > limit {amount}"
                found.append(Breach("cost", cost, float(amount), math.nan, words))
        return tuple(found)

    def risk(self, rehearsal: Rehearsal) -> float:
        """The highest probability with which one of the observation's limits is predicted to be broken."""
        return max((risk for *_, risk in self._risks(rehearsal)), default=0.0)

    def broken_by(self, observation: np.ndarray) -> tuple[str, ...]:
        """The observation's limits that a real encoded observation [D] breaks, in words with the numbers."""
        return tuple(
            f"observation[{dimension}] {observation[dimension]:.3g} {sign} limit {limit:.3g}"
            for sign, dimension, limit in self._bounds()
            if (observation[dimension] < limit if sign == "<" else observation[dimension] > limit)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def _bounds(self) -> Iterator[tuple[str, int, float]]:
        """Every limit of the observation: which side is forbidden, of which dimension, beyond what."""
        for sign, bounds in (("<", self.observation_low), (">", self.observation_high)):
            for dimension, limit in sorted(bounds.items()):
                yield sign, dimension, limit

    def _risks(self, rehearsal: Rehearsal) -> Iterator[tuple[str, int, float, float]]:
        """The same, each with the probability that it is broken within the horizon."""
        lowest, highest = rehearsal.draws.lowest, rehearsal.draws.highest
        for sign, dimension, limit in self._bounds():
            beyond = lowest[:, dimension] < limit if sign == "<" else highest[:, dimension] > limit
            yield sign, dimension, limit, float(beyond.mean())

    def _unknown(self, rehearsal: Rehearsal) -> list[Breach]:
        """Why this rehearsal says less than these limits ask for."""
        found = []
        if rehearsal.lost > 0.0:
            count = round(rehearsal.lost * rehearsal.samples)
            words = f"does not know: {count} of {rehearsal.samples} samples left the finite numbers"
            found.append(Breach("unknown", math.nan, 0.0, rehearsal.lost, words))
        for value, least, where in (
            (rehearsal.confidence, self.least_confidence, ""),
            (rehearsal.least_confidence, self.least_confidence_ahead, f" within {rehearsal.horizon} steps"),
        ):
            if least is None or value >= least:
                continue
            if math.isnan(value):
                words = f"does not know: its confidence{where} was never calibrated, and {least:.2f} is asked for"
            else:
                words = f"does not know: confidence {value:.2f}{where} < {least:.2f}"
            found.append(Breach("unknown", value, least, math.nan, words))
        for resource in sorted(self.most_cost):
            if math.isnan(rehearsal.cost.get(resource, math.nan)):
                words = f"does not know: what it costs in {resource} was never recorded"
                found.append(Breach("unknown", math.nan, float(self.most_cost[resource]), math.nan, words))
        return found


def _is_index(key: Any) -> bool:
    return isinstance(key, str) and key.isdecimal()


def _breach(kind: Kind, what: str, predicted: float, sign: str, limit: float, risk: float) -> Breach:
    words = f"predicted {what} {predicted:.3g} {sign} limit {limit:.3g} with probability {risk:.2f}"
    return Breach(kind, predicted, limit, risk, words)


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"Limits.{name} is not a finite number.", given=repr(value))
    if not low <= value <= high:
        raise ConfigError(f"Limits.{name} is out of range.", given=value, expected=f"{low:g} to {high:g}")
