"""What a campaign of machine learning engineering has come to: the best program, its cost, which forecasts held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gedanken.intermediary.attempt_log import INTERRUPTED, Entry, Hidden
from gedanken.worlds.ml_engineering.task import Task

LEVEL = 0.9
"""Of the intervals in outlooks."""
_FACTOR = 1.5


@dataclass(frozen=True)
class Foresaw:
    """How forecasts that were written down before the run came out. Each is a number of hits, and of how many.

    skill, cpu: 90 % intervals that held. factor: times foretold within a factor of 1.5. answered: the mean foretold
    probability of an answer among programs that did answer, and among those that did not; None where there are none.
    """

    skill: tuple[int, int]
    cpu: tuple[int, int]
    factor: tuple[int, int]
    answered: tuple[float | None, float | None]

    def to_json(self) -> dict[str, Any]:
        """Plain values; a share of nothing is null."""
        shares = {
            name: {"value": hits / count if count else None, "hits": hits, "forecasts": count}
            for name, (hits, count) in (("skill", self.skill), ("cpu", self.cpu), ("within_1.5", self.factor))
        }
        yes, no = self.answered
        return {"level": LEVEL, **shares, "ok_foretold": {"of_answers": yes, "of_failures": no}}


@dataclass(frozen=True)
class Engineered:
    """Where a campaign stands.

    best: the attempt with the best validation score; None before there is one. trace: seconds of compute that were paid
    by the end of each attempt, and the best validation score until then (None before there is one).
    """

    task: str
    metric: str
    agent: str
    isolation: str
    seed: int
    paid: Mapping[str, int]
    best: Entry | None
    hidden: Hidden | None
    trace: Sequence[tuple[float, float | None]]
    verdicts: Mapping[str, int]
    foresaw: Foresaw
    seconds: float
    ended: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known is null."""
        best = None
        if self.best is not None and self.best.validation is not None:
            told = None if self.hidden is None else {**vars(self.hidden)}
            best = {"attempt": self.best.number, "validation": vars(self.best.validation), "hidden": told}
        return {
            "world": f"ml_engineering/{self.task}",
            "metric": self.metric,
            "agent": self.agent,
            "isolation": self.isolation,
            "seed": self.seed,
            "paid": dict(self.paid),
            "best": best,
            "trace": [list(point) for point in self.trace],
            "verdicts": dict(self.verdicts),
            "foretold": self.foresaw.to_json(),
            "seconds": round(self.seconds, 1),
            "ended": self.ended,
        }


def engineered(
    entries: Mapping[int, Entry],
    hidden: Mapping[int, Hidden],
    task: Task,
    *,
    agent: str,
    isolation: str,
    seed: int,
    paid: Mapping[str, int],
    seconds: float,
    ended: str,
) -> Engineered:
    """Reads what came of a campaign off its log."""
    over = sorted(
        (entry for entry in entries.values() if entry.ended_at is not None), key=lambda entry: entry.ended_at or 0.0
    )
    best: Entry | None = None
    trace: list[tuple[float, float | None]] = []
    compute = 0
    for entry in over:
        compute += entry.wall_ms
        if entry.validation is not None and (
            best is None or best.validation is None or entry.validation.skill > best.validation.skill
        ):
            best = entry
        score = None if best is None or best.validation is None else best.validation.score
        trace.append((compute / 1_000, score))
    verdicts: dict[str, int] = {}
    for entry in entries.values():
        word = entry.verdict or INTERRUPTED
        verdicts[word] = verdicts.get(word, 0) + 1
    return Engineered(
        task.name,
        str(task.metric),
        agent,
        isolation,
        seed,
        paid,
        best,
        None if best is None else hidden.get(best.number),
        trace,
        verdicts,
        foresaw(over),
        seconds,
        ended,
    )


def foresaw(over: Sequence[Entry]) -> Foresaw:
    """Scores the forecasts of attempts that have ended."""
    told = [(entry, entry.outlook) for entry in over if entry.outlook is not None]
    scored = [(entry.validation.skill, outlook) for entry, outlook in told if entry.validation is not None]
    held = sum(outlook.skill_low <= skill <= outlook.skill_high for skill, outlook in scored)
    # A program that failed took as long as it took to fail; its time was foretold as if it would answer.
    timed = [(entry.cpu_ms, outlook) for entry, outlook in told if entry.validation is not None]
    cpu = sum(outlook.cpu_low <= took <= outlook.cpu_high for took, outlook in timed)
    near = sum(outlook.cpu_ms / _FACTOR <= took <= outlook.cpu_ms * _FACTOR for took, outlook in timed)
    answered = [
        [outlook.ok for entry, outlook in told if (entry.validation is not None) is which] for which in (True, False)
    ]
    means = tuple(sum(group) / len(group) if group else None for group in answered)
    return Foresaw((held, len(scored)), (cpu, len(timed)), (near, len(timed)), (means[0], means[1]))
