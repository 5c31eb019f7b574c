"""Experiments as a campaign knows them: what was asked for, how far it has come, what came out, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.worlds.parameters import Design


@dataclass(frozen=True)
class Objective:
    """Something that is measured, and which way it should go."""

    name: str
    goal: Literal["max", "min"] = "max"
    unit: str = ""

    def __post_init__(self) -> None:
        if self.goal not in ("max", "min"):
            raise ConfigError(f"Objective {self.name!r} has no goal.", given=repr(self.goal), expected='"max" or "min"')

    @property
    def sign(self) -> float:
        """1 where more is better, -1 where less is."""
        return 1.0 if self.goal == "max" else -1.0


class TrialState(StrEnum):
    """How far an experiment has come (the states that Ax uses, whose words people know)."""

    CANDIDATE = "CANDIDATE"
    """suggested, and nothing else"""
    STAGED = "STAGED"
    """somebody has decided to run it"""
    RUNNING = "RUNNING"
    """it is being done"""
    COMPLETED = "COMPLETED"
    """results are there"""
    FAILED = "FAILED"
    """it went wrong; may be tried again"""
    ABANDONED = "ABANDONED"
    """it must not be done, now or ever"""
    EARLY_STOPPED = "EARLY_STOPPED"
    """stopped on purpose before its end; what was measured until then counts"""
    STALE = "STALE"
    """a suggestion that newer results have overtaken"""

    @property
    def pending(self) -> bool:
        """Whether its result may still come."""
        return self in (TrialState.STAGED, TrialState.RUNNING)

    def may_become(self, other: TrialState) -> bool:
        """Whether a trial in this state may go on to the other."""
        return other in _MOVES[self]


_S = TrialState
_ENDS = {_S.COMPLETED, _S.FAILED, _S.ABANDONED, _S.EARLY_STOPPED}
_MOVES: Mapping[TrialState, set[TrialState]] = {
    _S.CANDIDATE: {_S.STAGED, _S.RUNNING, _S.STALE, *_ENDS},
    _S.STAGED: {_S.RUNNING, _S.CANDIDATE, *_ENDS},
    _S.RUNNING: _ENDS,
    _S.COMPLETED: set(),
    _S.FAILED: {_S.STAGED, _S.RUNNING, _S.ABANDONED},
    _S.ABANDONED: set(),
    _S.EARLY_STOPPED: {_S.COMPLETED},
    # Somebody may have run it all the same, and a result is a result.
    _S.STALE: {_S.STAGED, _S.RUNNING, *_ENDS},
}


@dataclass(frozen=True)
class Trial:
    """One experiment.

    results: objective -> value; what is not in there is unknown. cost: what it did cost, or what is reserved for it.
    """

    id: str
    design: Design
    state: TrialState = TrialState.CANDIDATE
    results: Mapping[str, float] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    fidelity: float = 1.0
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether anything came out that counts."""
        return bool(self.results) and self.state in (TrialState.COMPLETED, TrialState.EARLY_STOPPED)
