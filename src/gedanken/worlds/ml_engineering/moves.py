"""Ways to come to the next program from those that were tried: few enough to be chosen among by a learned policy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.pipelines import MODELS, SPACE, canonical, crossed, mutated, sensible
from gedanken.worlds.parameters import Categorical, Design

MOVES = (*(f"sensible {model}" for model in MODELS), "mutate", "mutate another", "cross", "draw", "stop")
"""The sensible program of each model; the best program changed; the best one of another model than the best one's,
changed; the best two crossed; any program; no more programs."""
MUTATE, ANOTHER, CROSS, DRAW, STOP = range(len(MODELS), len(MOVES))
_NAMES = SPACE.names
_MOST_CHANGES = 3
_ATTEMPTS = 20
"""How often a program that is new is looked for."""


class Attempted(Protocol):
    """A program that was tried, or still runs. design: None for one outside of the space. skill: None without one."""

    @property
    def design(self) -> Design | None:
        """Where it lies in the pipeline space."""

    @property
    def skill(self) -> float | None:
        """Of the validation rows."""


def possible(kind: Kind, tried: Sequence[Attempted]) -> np.ndarray:
    """[K] bool: the moves that lead anywhere. Sensible programs are tried once, what is changed must exist."""
    known = _places(tried)
    scored = [one.design for one in tried if one.skill is not None and one.design is not None]
    families = {design["model"] for design in scored}
    fresh = [where not in known for where in _sensible_places(kind)]
    return np.array([*fresh, len(scored) > 0, len(families) > 1, len(scored) > 1, True, True])


def move(kind: Kind, which: int, tried: Sequence[Attempted], rng: np.random.Generator) -> Design | None:
    """The program that a move leads to: one that was not tried yet. None for `stop`, and where it leads nowhere.

    Args:
        kind: of the task.
        which: the move's place in `MOVES`.
        tried: all programs so far, those that still run as well.
        rng: of what is left to chance.

    Raises:
        ConfigError: there is no such move.
    """
    if not 0 <= which < len(MOVES):
        raise ConfigError("There is no such move.", given=which, expected=f"0 to {len(MOVES) - 1}: {', '.join(MOVES)}")
    known = _places(tried)
    if which < len(MODELS):
        design = _sensible(kind)[which]
        return None if place(design) in known else design
    best = best_designs(tried, len(tried))
    if which == ANOTHER:
        best = [design for design in best if design["model"] != best[0]["model"]]
    if which == STOP or (which != DRAW and len(best) < (2 if which == CROSS else 1)):
        return None
    for attempt in range(_ATTEMPTS):
        if which == DRAW:
            design = _any(kind, rng)
        elif which == CROSS:
            design = crossed(best[0], best[1], kind, rng)
            # Two programs that are nearly the same have no crossing that is new: then one is changed, too.
            design = design if attempt < _ATTEMPTS // 2 else mutated(design, kind, rng, changes=1)
        else:
            design = mutated(best[0], kind, rng, changes=1 + int(rng.integers(_MOST_CHANGES)))
        if place(design) not in known:
            return design
    return None


def best_designs(tried: Sequence[Attempted], count: int) -> list[Design]:
    """The designs of the best programs, the best first."""
    scored = [(one.skill, one.design) for one in tried if one.skill is not None and one.design is not None]
    return [design for _, design in sorted(scored, key=lambda pair: -pair[0])[:count]]


def place(design: Design) -> tuple[Any, ...]:
    """What tells a design from others: its values, numbers to four digits, as they stand in its program."""
    return tuple(_rounded(v) if isinstance(v := design[name], float) else v for name in _NAMES)


@functools.cache
def _sensible(kind: Kind) -> tuple[Design, ...]:
    return tuple(sensible(kind))


@functools.cache
def _sensible_places(kind: Kind) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(place, _sensible(kind)))


def _any(kind: Kind, rng: np.random.Generator) -> Design:
    """Any program. One is not spread over the space, as `pipelines.drawn` spreads several."""
    found: Design = {
        p.name: str(rng.choice(p.levels)) if isinstance(p, Categorical) else p.decoded(rng.random(1))
        for p in SPACE.parameters
    }
    return canonical(found, kind)


@functools.lru_cache(1 << 16)
def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _places(tried: Sequence[Attempted]) -> set[tuple[Any, ...]]:
    return {place(one.design) for one in tried if one.design is not None}
