"""What every engineering agent must do: say which program to run next, what it expects of it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.parameters import Design


@dataclass(frozen=True)
class Tried:
    """A program that was run, or is being run.

    design: where it lies in the pipeline space; None for one that somebody wrote. verdict: None while it runs. skill:
    of the validation rows. cpu_ms: all of its processor time; startup_ms: of that, before it read the data.
    """

    program: str
    design: Design | None
    verdict: str | None = None
    skill: float | None = None
    cpu_ms: int = 0
    startup_ms: int | None = None
    error: str = ""


class Outlook(NamedTuple):
    """What is expected of a program.

    ok: the probability of an answer that can be graded. skill, skill_low, skill_high: its validation skill, where it
    has one, and between which it then lies with probability 0.9. cpu_ms, cpu_low, cpu_high: likewise its processor
    time.
    """

    ok: float
    skill: float
    skill_low: float
    skill_high: float
    cpu_ms: float
    cpu_low: float
    cpu_high: float


@dataclass(frozen=True)
class Proposal:
    """A program worth running. chance: of being better than the best so far; None where nothing is known."""

    program: str
    design: Design | None
    why: str
    outlook: Outlook | None = None
    chance: float | None = None


@runtime_checkable
class Engineer(Protocol):
    """Whoever proposes programs: a frozen dataclass, its settings as fields."""

    @property
    def name(self) -> str:
        """As the configuration calls it."""

    def propose(
        self, kind: Kind, tried: Sequence[Tried], *, left_ms: float, limit_ms: float, seed: int
    ) -> Proposal | None:
        """The next program; None where nothing can be run with what is left.

        Args:
            kind: of the task.
            tried: all programs so far, in the order of their beginning; those without a verdict are still running.
            left_ms: processor time that is left.
            limit_ms: after how much a program is ended.
            seed: of everything random.
        """
