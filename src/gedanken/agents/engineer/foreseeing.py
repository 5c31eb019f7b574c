"""Runs what the model of attempts expects most of, for the processor time that it is expected to take.

A program's merit is that of the planner of experiments (`agents.experimenter`): the chance that it betters the best
times how much it is expected to, times the probability of an answer, divided by its expected time. Candidates are what
is usually tried first, changes and crossings of the best, and draws from the whole space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gedanken.agents.engineer.contract import Outlook, Proposal, Tried
from gedanken.agents.experimenter.acquisition import improvement_over
from gedanken.errors import ConfigError
from gedanken.models.attempts.foresight import Done, Foresight, Foretold
from gedanken.models.attempts.heads import Heads
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.moves import best_designs, place
from gedanken.worlds.ml_engineering.pipelines import crossed, drawn, mutated, program, sensible
from gedanken.worlds.parameters import Design

_PARENTS = 8


@dataclass(frozen=True, eq=False)
class Foreseeing:
    """Plans by foresight.

    Attributes:
        heads: what is known across tasks.
        task: [T], the features of the task that is worked on.
        thrift: how much time counts: merit is divided by the expected time to this power.
        least_ok: a program is not run whose probability of an answer is below this, unless all are.
        changes, draws: how many candidates come from changing the best, and from the whole space.
    """

    name: ClassVar[str] = "foreseeing"

    heads: Heads
    task: np.ndarray
    thrift: float = 1.0
    least_ok: float = 0.3
    changes: int = 192
    draws: int = 128

    def __post_init__(self) -> None:
        if not self.thrift >= 0 or not 0 <= self.least_ok <= 1 or self.changes < 0 or self.draws < 1:
            raise ConfigError(
                "Not a way of planning.",
                given=f"thrift={self.thrift}, least_ok={self.least_ok}, changes={self.changes}, draws={self.draws}",
                expected="thrift 0 or more, least_ok from 0 to 1, changes 0 or more, one draw or more",
            )

    def propose(
        self, kind: Kind, tried: Sequence[Tried], *, left_ms: float, limit_ms: float, seed: int
    ) -> Proposal | None:
        foresight = self.foresight(tried, seed=seed)
        left = self._candidates(kind, tried, seed)
        told = foresight.foretell(left)
        cpu = told.startup_ms + np.minimum(told.work_ms, limit_ms)
        # What would not end before the budget does brings nothing; half of the way to the worst case is for safety.
        fits = told.startup_ms + np.minimum(np.sqrt(told.work_ms * told.work_high), limit_ms) <= left_ms
        if not fits.any():
            return None
        likely_ok = fits & (told.ok >= self.least_ok)
        fits = likely_ok if likely_ok.any() else fits
        merit, chance = merit_of(foresight, left, told)
        merit = np.where(fits, merit - self.thrift * np.log(cpu), -np.inf)
        pick = int(np.argmax(merit))
        outlook = outlook_of(told, pick, limit_ms)
        likely = None if chance is None else float(chance[pick])
        why = (
            f"{outlook.ok:.0%} to answer, skill {outlook.skill:.3f} [{outlook.skill_low:.3f}, {outlook.skill_high:.3f}]"
        )
        why += f", {outlook.cpu_ms / 1_000:.1f} s expected"
        if likely is not None:
            why += f"; {likely:.0%} to be better than the best so far"
        return Proposal(program(left[pick], kind), left[pick], why, outlook, likely)

    def foresight(self, tried: Sequence[Tried], *, seed: int) -> Foresight:
        """The model that knows all that has ended; what still runs is believed to become what is expected of it."""
        done = [done_of(one) for one in tried if one.verdict is not None and one.design is not None]
        foresight = Foresight(self.heads, self.task, tuple(done), seed)
        running = [one.design for one in tried if one.verdict is None and one.design is not None]
        if not running:
            return foresight
        told = foresight.foretell(running)
        believed = [
            Done(design, "ok", float(told.skill[i]), float(told.work_ms[i]), told.startup_ms)
            for i, design in enumerate(running)
        ]
        return Foresight(self.heads, self.task, (*done, *believed), seed)

    def _candidates(self, kind: Kind, tried: Sequence[Tried], seed: int) -> list[Design]:
        rng = np.random.default_rng(seed)
        best = best_designs(tried, _PARENTS)
        designs = [*sensible(kind), *drawn(kind, self.draws, seed=seed)]
        parents = best or sensible(kind)
        for number in range(self.changes):
            parent = parents[int(rng.integers(len(parents)))]
            if number % 4 == 0:
                parent = crossed(parent, parents[int(rng.integers(len(parents)))], kind, rng)
            designs.append(mutated(parent, kind, rng, changes=1 + number % 3))
        known = {place(one.design) for one in tried if one.design is not None}
        found = {where: design for design in designs if (where := place(design)) not in known}
        return list(found.values())


def merit_of(foresight: Foresight, designs: Sequence[Design], told: Foretold) -> tuple[np.ndarray, np.ndarray | None]:
    """[M], a logarithm, time apart; and [M], the chance of an improvement, None where nothing has answered yet."""
    if foresight.error is None:
        # What is expected to be best, in units of how programs differ.
        heads = foresight.heads
        mean, _ = heads.expected_error(designs, foresight.task)
        return np.log(told.ok) - mean / heads.error_left, None
    answered = [done.design for done in foresight.done if done.skill is not None]
    error = foresight.error
    better = improvement_over(error.beliefs(designs), error.beliefs(answered).mean, error.weights)
    chance = np.exp(better.log_chance) * told.ok
    return better.log_chance + better.log_gain + np.log(told.ok), chance


def outlook_of(told: Foretold, which: int, limit_ms: float) -> Outlook:
    """What is foretold of one program."""
    work = (min(float(part[which]), limit_ms) for part in (told.work_ms, told.work_low, told.work_high))
    return Outlook(
        float(told.ok[which]),
        float(told.skill[which]),
        float(told.skill_low[which]),
        float(told.skill_high[which]),
        *(told.startup_ms + part for part in work),
    )


def done_of(tried: Tried) -> Done:
    """A program that has ended, as the model takes it."""
    assert tried.design is not None and tried.verdict is not None
    startup = None if tried.startup_ms is None else float(min(tried.startup_ms, tried.cpu_ms))
    work = tried.cpu_ms - (startup if startup is not None else 0.0)
    return Done(tried.design, tried.verdict, tried.skill, max(work, 1.0), startup)
