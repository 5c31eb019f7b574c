"""lab.yaml: what can be set, what is measured, what an experiment costs, how much may be spent. A person edits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from gedanken.errors import ConfigError, FileError
from gedanken.experience.cost import Budget
from gedanken.experience.files import write_text
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.science.fidelity import Fidelities
from gedanken.worlds.science.prices import PriceList
from gedanken.worlds.science.trials import Objective

FILE = "lab.yaml"
_KEYS = {"name", "objectives", "parameters", "constraints", "prices", "fidelities", "budget", "planner", "seed"}
_HEAD = """\
# What this laboratory experiments on. Edit it freely: bounds may be widened and the budget raised at any time.
# parameters: type continuous, integer or categorical; low and high in `unit`, or levels.
# constraints: the weighted sum of some numbers is at most so much, such as {weights: {acid: 1, base: 1}, at_most: 2}.
# fidelities: level -> share of the price, such as {0.25: 0.1, 1: 1}, where cheaper experiments tell something too.
# prices: whole minor units by resource; beside `each`, a parameter adds so much a unit, or by level.
"""


@dataclass(frozen=True)
class LabConfig:
    """A laboratory's description.

    Raises:
        ConfigError: nothing is measured, two columns have one name, or the budget limits nothing that costs something.
    """

    space: DesignSpace
    objectives: tuple[Objective, ...]
    prices: PriceList = field(default_factory=PriceList)
    fidelities: Fidelities | None = None
    budget: Budget = field(default_factory=lambda: Budget(experiments=40))
    planner: Literal["bayesian", "random"] = "bayesian"
    seed: int = 0
    name: str = "laboratory"

    def __post_init__(self) -> None:
        names = [*self.space.names, *(objective.name for objective in self.objectives)]
        taken = {"id", "state", "note", "fidelity"} & set(names)
        if not self.objectives or len(set(names)) < len(names) or taken:
            raise ConfigError(
                "Not a laboratory's columns.",
                given=", ".join(names),
                expected="one objective or more, all names different, none of them id, state, fidelity or note",
            )
        if not set(self.budget) & self.prices.resources or set(self.budget) - self.prices.resources:
            raise ConfigError(
                "The budget does not fit what an experiment costs.",
                given=", ".join(self.budget) or "nothing",
                expected=" or ".join(sorted(self.prices.resources)),
            )
        if self.planner not in ("bayesian", "random"):
            raise ConfigError("There is no such planner.", given=repr(self.planner), expected="bayesian or random")

    def write(self, path: Path) -> None:
        """Writes it for people to edit."""
        write_text(path, _HEAD + yaml.safe_dump(self.to_json(), sort_keys=False, allow_unicode=True))

    def to_json(self) -> dict[str, Any]:
        """Plain values, which `from_json` reads."""
        described = {
            "name": self.name,
            "objectives": [asdict(objective) for objective in self.objectives],
            **self.space.to_json(),
            "prices": self.prices.to_json(),
            "fidelities": None if self.fidelities is None else dict(self.fidelities.shares),
            "budget": dict(self.budget),
            "planner": self.planner,
            "seed": self.seed,
        }
        plain: dict[str, Any] = _plain({key: value for key, value in described.items() if value is not None})
        return plain

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write`, or a person, wrote.

        Raises:
            FileError: the file is not there.
            ConfigError: it is no YAML, or says what is no laboratory.
        """
        try:
            described: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FileError(
                "This folder holds no laboratory.",
                given=error,
                expected=f"a folder with {FILE}",
                do="make one with `gedanken science init FOLDER`.",
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path.name} cannot be read.", given=error, expected="YAML") from error
        return cls.from_json(described)

    @classmethod
    def from_json(cls, described: Any) -> Self:
        """The laboratory that plain values describe.

        Raises:
            ConfigError: they describe none.
        """
        if not isinstance(described, Mapping) or not {"objectives", "parameters"} <= set(described):
            raise ConfigError("No laboratory is described.", given=described, expected="objectives and parameters")
        if unknown := set(described) - _KEYS:
            raise ConfigError(
                "A laboratory's description says what nobody reads.",
                given=", ".join(map(str, sorted(unknown, key=str))),
                expected=", ".join(sorted(_KEYS)),
            )
        space = DesignSpace.from_json({"constraints": (), **described})
        try:
            objectives = tuple(Objective(**one) for one in described["objectives"])
            budget = Budget(described.get("budget", {"experiments": 40}))
            seed = int(described.get("seed", 0))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                "The objectives or the budget cannot be read.",
                given=error,
                expected="objectives with name, goal and unit; amounts by resource",
            ) from error
        prices = PriceList.from_json(described.get("prices", {"experiments": 1}), space)
        fidelities = Fidelities.from_json(described["fidelities"]) if "fidelities" in described else None
        name, planner = str(described.get("name", "laboratory")), described.get("planner", "bayesian")
        return cls(space, objectives, prices, fidelities, budget, planner, seed, name)


def _plain(value: Any) -> Any:
    """Without tuples and empty units, which YAML would show oddly."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items() if part not in ("", (), [])}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value
