"""The design space: which experiments can be done, and how they become the numbers that models read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import gymnasium as gym
import numpy as np
from scipy.stats import qmc

from gedanken.errors import ConfigError
from gedanken.worlds.parameters import Categorical, Continuous, Design, Integer, Parameter

_DRAWS_A_DESIGN = 256
"""How many points are tried for each that is wanted, before a space counts as one that constraints leave empty."""


@dataclass(frozen=True)
class Linear:
    """The sum of `weights` times values is at most `at_most`; over numeric parameters alone, in their own units."""

    weights: tuple[tuple[str, float], ...]
    at_most: float

    def holds(self, design: Design) -> bool:
        """Whether a design fulfils it, up to rounding."""
        terms = [weight * float(design[name]) for name, weight in self.weights]
        return math.fsum(terms) <= self.at_most + 1e-9 * (abs(self.at_most) + sum(map(abs, terms)))

    def __str__(self) -> str:
        return " + ".join(f"{weight:g} {name}" for name, weight in self.weights) + f" <= {self.at_most:g}"


class Group(NamedTuple):
    """The encoded columns [start, stop) of one parameter.

    features: [L, K], standardised over the levels, where something is known of a choice's levels; else None.
    """

    name: str
    start: int
    stop: int
    kind: Literal["numeric", "category"]
    features: np.ndarray | None


@dataclass(frozen=True)
class DesignSpace:
    """Parameters, and what their values must fulfil together.

    Raises:
        ConfigError: two parameters have one name, or a constraint speaks of something that is no numeric parameter.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Linear, ...] = ()

    def __post_init__(self) -> None:
        if not self.parameters or len(set(self.names)) < len(self.names):
            raise ConfigError(
                "Not a design space.", given=list(self.names), expected="one parameter or more, each of another name"
            )
        numeric = {p.name for p in self.parameters if not isinstance(p, Categorical)}
        for constraint in self.constraints:
            if strange := [name for name, _ in constraint.weights if name not in numeric]:
                raise ConfigError(
                    f"The constraint {constraint} is not about numbers.",
                    given=", ".join(strange),
                    expected=f"some of {', '.join(sorted(numeric))}",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters, in their order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def size(self) -> int:
        """F, the number of encoded columns."""
        return sum(parameter.width for parameter in self.parameters)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Which encoded columns belong to which parameter."""
        groups, start = [], 0
        for parameter in self.parameters:
            stop, features = start + parameter.width, None
            if isinstance(parameter, Categorical) and parameter.features:
                known = np.asarray(parameter.features, np.float64)
                spread = known.std(0)
                features = (known - known.mean(0)) / np.where(spread > 0, spread, 1.0)
            kind: Literal["numeric", "category"] = "category" if isinstance(parameter, Categorical) else "numeric"
            groups.append(Group(parameter.name, start, stop, kind, features))
            start = stop
        return tuple(groups)

    def checked(self, design: Mapping[str, Any]) -> Design:
        """The design with each value in its own type.

        Raises:
            ConfigError: a parameter is missing or unknown, a value is out of bounds, no number, NaN or no level, or a
                constraint is broken.
        """
        if set(design) != set(self.names):
            unknown, missing = sorted(set(design) - set(self.names)), sorted(set(self.names) - set(design))
            raise ConfigError(
                "A design names each parameter once.",
                given=", ".join([*(f"unknown {name!r}" for name in unknown), *(f"no {name!r}" for name in missing)]),
                expected=", ".join(self.names),
            )
        found: Design = {parameter.name: parameter.checked(design[parameter.name]) for parameter in self.parameters}
        for constraint in self.constraints:
            if not constraint.holds(found):
                raise ConfigError("A design breaks a constraint.", given=dict(found), expected=str(constraint))
        return found

    def encode(self, designs: Sequence[Design]) -> np.ndarray:
        """[N, F] float64: numbers in [0, 1], choices one-hot."""
        rows = [
            [column for p in self.parameters for column in p.encoded(design[p.name])]  # type: ignore[arg-type]
            for design in designs
        ]
        return np.array(rows, np.float64).reshape(len(rows), self.size)

    def decode(self, row: np.ndarray) -> Design:
        """[F] -> the nearest design; whether it fulfils the constraints is for the caller to see."""
        return {
            parameter.name: parameter.decoded(np.asarray(row)[group.start : group.stop])
            for parameter, group in zip(self.parameters, self.groups, strict=True)
        }

    def allows(self, design: Design) -> bool:
        """Whether the constraints hold for a design whose values are within their bounds."""
        return all(constraint.holds(design) for constraint in self.constraints)

    def draw(self, count: int, *, seed: int) -> list[Design]:
        """Designs spread evenly over the space (a scrambled Sobol sequence), those that break a constraint left out.

        Raises:
            ConfigError: next to nothing fulfils the constraints.
        """
        sobol = qmc.Sobol(len(self.parameters), seed=np.random.default_rng(seed))
        found: list[Design] = []
        tried = 0
        while len(found) < count and tried < _DRAWS_A_DESIGN * max(count, 64):
            # (Sobol points are balanced in powers of two.)
            points = sobol.random(2 ** max(5, math.ceil(math.log2(max(count, 1)))))
            tried += len(points)
            found += [design for design in map(self._at, points) if self.allows(design)]
        if len(found) < count:
            raise ConfigError(
                "The constraints leave next to nothing of the design space.",
                given="; ".join(map(str, self.constraints)),
                expected=f"{count} designs among {tried:,} that were tried, found {len(found)}",
                do="check signs and units of the constraints.",
            )
        return found[:count]

    def _at(self, point: np.ndarray) -> Design:
        """The design at a point of the unit cube, one coordinate a parameter."""
        row = np.zeros(self.size)
        for share, parameter, group in zip(point, self.parameters, self.groups, strict=True):
            match parameter:
                case Categorical():
                    row[group.start + min(int(share * parameter.width), parameter.width - 1)] = 1.0
                case Integer():  # each whole number with the same chance
                    count = parameter.high - parameter.low + 1
                    row[group.start] = min(int(share * count), count - 1) / (count - 1)
                case Continuous():
                    row[group.start] = share
        return self.decode(row)

    # --- As Gymnasium and as JSON -----------------------------------------------------------------------------------

    def action_space(self) -> gym.spaces.Dict:
        """What a world of these experiments takes as its action: a number or a choice for each parameter."""
        spaces: dict[str, gym.Space[Any]] = {}
        for p in self.parameters:
            match p:
                case Continuous():
                    spaces[p.name] = gym.spaces.Box(p.low, p.high, (), np.float64)
                case Integer():
                    spaces[p.name] = gym.spaces.Discrete(p.high - p.low + 1, start=p.low)
                case Categorical():
                    spaces[p.name] = gym.spaces.Discrete(len(p.levels))
        return gym.spaces.Dict(spaces, sort_keys=False)

    def to_action(self, design: Design) -> dict[str, Any]:
        """A design as an action of `action_space()`."""
        action: dict[str, Any] = {}
        for p in self.parameters:
            value: Any = design[p.name]
            match p:
                case Continuous():
                    action[p.name] = np.array(value, np.float64)
                case Integer():
                    action[p.name] = np.int64(value)
                case Categorical():
                    action[p.name] = np.int64(p.levels.index(value))
        return action

    def from_action(self, action: Mapping[str, Any]) -> Design:
        """The design that an action stands for, checked."""
        values = {
            p.name: p.levels[int(action[p.name])] if isinstance(p, Categorical) else np.asarray(action[p.name]).item()
            for p in self.parameters
        }
        return self.checked(values)

    def to_json(self) -> dict[str, Any]:
        """Plain values, which `from_json` reads."""
        kinds = {Continuous: "continuous", Integer: "integer", Categorical: "categorical"}
        return {
            "parameters": [{"type": kinds[type(p)], **vars(p)} for p in self.parameters],
            "constraints": [{"weights": dict(c.weights), "at_most": c.at_most} for c in self.constraints],
        }

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Self:
        """The space that `to_json`, or a person, described.

        Raises:
            ConfigError: it is no description of a design space.
        """
        try:
            parameters = tuple(_parameter(dict(one)) for one in described["parameters"])
            constraints = tuple(
                Linear(tuple((str(k), float(v)) for k, v in one["weights"].items()), float(one["at_most"]))
                for one in described.get("constraints", ())
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                "A design space cannot be read.",
                given=repr(error),
                expected="parameters with type, name and low and high or levels; constraints with weights and at_most",
            ) from error
        return cls(parameters, constraints)


def _parameter(described: dict[str, Any]) -> Parameter:
    kind = described.pop("type")
    match kind:
        case "continuous":
            return Continuous(**described)
        case "integer":
            return Integer(**described)
        case "categorical":
            features = tuple(tuple(map(float, row)) for row in described.pop("features", ()))
            return Categorical(levels=tuple(map(str, described.pop("levels"))), features=features, **described)
    raise ValueError(f"type {kind!r} is none of continuous, integer, categorical")
