"""The configuration of a run: everything that decides what it does, in one frozen tree of plain values."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from gedanken.agents.icem import ICEMConfig
from gedanken.agents.sac import SACConfig
from gedanken.agents.value_gradient import ValueGradientConfig
from gedanken.errors import ConfigError
from gedanken.experience.cost import Budget
from gedanken.intermediary.anchors import AnchorsConfig
from gedanken.intermediary.decisions import Mode
from gedanken.intermediary.gating import GateConfig
from gedanken.models.ensemble import EnsembleConfig
from gedanken.models.fitting import FitConfig

BUILT_IN = ("ensemble", "value_gradient", "sac", "icem")
"""The family and the agents whose settings are sections of `RunConfig`."""


@dataclass(frozen=True)
class CollectConfig:
    """How the real world is asked."""

    warmup: int = 1_000
    """steps by a random policy before anything is learned"""
    warmup_horizon: int = 200
    """longest random episode: short ones start more often, and say more of where episodes start"""
    steps: int = 500
    """paid steps of a round at least; episodes are always finished"""
    growth: float = 0.05
    """paid steps of a round at least, as a share of what is paid already: the more is known, the less a step changes"""
    horizon: int | None = None
    """longest episode of learning; None is the world's own limit"""
    held_out: float = 0.1
    """share of the learning episodes that is never trained on"""

    def of_round(self, paid: int) -> int:
        """Steps wanted in the round that begins after `paid` steps."""
        return self.warmup if paid == 0 else max(self.steps, round(self.growth * paid))


@dataclass(frozen=True)
class CheckConfig:
    """How the result is checked for real. These episodes are paid from an account of their own."""

    episodes: int = 10
    """real episodes of the final agent, without exploration; 0: the result is not checked"""
    imagined: int = 500
    """imagined episodes the model predicts the return from"""
    branches: int = 1
    """states of each of these episodes that other actions are tried from, where the world can be put back; 0: none"""
    branch_actions: int = 4
    """random actions tried from each of these states"""
    branch_steps: int = 10
    """how long each of these actions is held; every step is paid for"""


@dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    world: str = "InvertedPendulum-v5"
    """a Gymnasium id, or the name of a registered world"""
    seed: int = 0
    """decides every random number of the run"""
    budget: dict[str, int] = field(default_factory=lambda: {"steps": 1_500})
    """the most that may be spent on learning, in whole minor units per resource"""
    agent: str = "value_gradient"
    """who learns and acts: value_gradient, sac, icem, or what an installed package brings"""
    family: str = "ensemble"
    """what the world model is made of: ensemble, or what an installed package brings"""
    mode: Mode = "substitute"
    """what the model may do: off and shadow learn from paid steps only; the others learn in imagination"""
    truncation: Literal["infoprop", "mopo", "morel", "none"] = "infoprop"
    """where imagined rollouts stop"""
    updates_per_step: float = 1.0
    """updates of the agent per paid step"""
    collect: CollectConfig = field(default_factory=CollectConfig)
    model: EnsembleConfig = field(default_factory=EnsembleConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    value_gradient: ValueGradientConfig = field(default_factory=ValueGradientConfig)
    sac: SACConfig = field(default_factory=SACConfig)
    icem: ICEMConfig = field(default_factory=ICEMConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    anchors: AnchorsConfig = field(default_factory=AnchorsConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    settings: Annotated[dict[str, dict[str, Any]], tyro.conf.Suppress] = field(default_factory=dict)
    """settings of an agent or a model family that another package brings, by its name; in files only"""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError("`seed` is negative.", given=self.seed, expected=">= 0")
        if not 0 <= self.updates_per_step < math.inf:
            raise ConfigError("`updates_per_step` is no rate.", given=self.updates_per_step, expected=">= 0")
        if self.collect.warmup < 1 or self.collect.steps < 1 or self.collect.warmup_horizon < 1:
            raise ConfigError("`collect` needs at least one step in each place.", given=self.collect)
        if not 0 <= self.collect.growth < math.inf:
            raise ConfigError("`collect.growth` is no share.", given=self.collect.growth, expected=">= 0")
        if self.collect.horizon is not None and self.collect.horizon < 1:
            raise ConfigError("`collect.horizon` is no length.", given=self.collect.horizon, expected=">= 1, or none")
        if not 0 < self.collect.held_out < 1:
            raise ConfigError(
                "`collect.held_out` is no share.", given=self.collect.held_out, expected="above 0 and below 1"
            )
        if self.check.episodes < 0 or self.check.imagined < 1:
            raise ConfigError("`check` needs episodes >= 0 and imagined >= 1.", given=self.check)
        for name in self.settings:
            if name not in (self.agent, self.family) or name in BUILT_IN:
                raise ConfigError(
                    f"`settings.{name}` is of nobody in this run.",
                    given=name,
                    expected=f"settings of {self.agent!r} or {self.family!r}, where a package brings them",
                )
        if not self.budget or Budget(self.budget).of("steps") == 0 == max(self.budget.values()):
            raise ConfigError(
                "A run needs a budget above zero.", given=self.budget, expected="such as budget.steps = 1500"
            )


def to_plain(config: RunConfig) -> dict[str, Any]:
    """The configuration as nested plain values, ready for JSON, YAML or TOML."""
    return dataclasses.asdict(config)


def from_plain(values: Mapping[str, Any]) -> RunConfig:
    """Reads nested plain values; what is not named keeps its default.

    Raises:
        ConfigError: a key is unknown (the nearest known one is named) or a value has the wrong type.
    """
    built: RunConfig = build(RunConfig, values, "")
    return built


def build(kind: Any, values: Any, path: str) -> Any:
    """A dataclass of `kind` with these plain values; `path` is where they stand, for errors.

    Raises:
        ConfigError: a key is unknown (the nearest known one is named) or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"`{path or 'the configuration'}` is not a table of keys.", given=repr(values))
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise ConfigError(
                f"`{path}{key}` is not a setting.",
                given=key,
                expected=f"`{path}{near[0]}`?" if near else f"one of {', '.join(sorted(known))}",
                do="see `gedanken run --help` for every setting.",
            )
    return kind(**{key: _value(hints[key], value, f"{path}{key}") for key, value in values.items()})


def _value(hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, f"{path}.")
    if typing.get_origin(hint) in (dict, Mapping) and isinstance(value, Mapping) and typing.get_args(hint)[0] is int:
        # JSON and TOML know only texts as keys.
        value = {int(key) if re.fullmatch("-?[0-9]{1,9}", str(key)) else key: item for key, item in value.items()}
    if _fits(hint, value):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if whole and hint in (float, float | None) else value
    raise ConfigError(f"`{path}` has the wrong type.", given=repr(value), expected=_readable(hint))


def _fits(hint: Any, value: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (types.UnionType, typing.Union):
        return any(_fits(argument, value) for argument in arguments)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(arguments[0], k) and _fits(arguments[1], v) for k, v in value.items()
        )
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is type(None):
        return value is None
    return isinstance(value, hint)


def _readable(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " | ".join(repr(argument) for argument in typing.get_args(hint))
    return getattr(hint, "__name__", str(hint))
