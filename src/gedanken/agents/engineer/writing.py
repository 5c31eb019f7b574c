"""A language model writes programs, and what the model of attempts expects most of is run.

It is asked for some candidates at a time. They cost tokens and no compute until one is chosen: what does not compile or
was tried before is left out, and so is what is foretold to fail or to be worse than the best. Each program is foretold
by the nearest point of the pipeline space, which its text tells.
"""

from __future__ import annotations

import ast
import functools
import string
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gedanken.agents.engineer.contract import Outlook, Proposal, Tried
from gedanken.agents.engineer.foreseeing import Foreseeing, merit_of, outlook_of
from gedanken.agents.engineer.prompts import Mode, Situation, prompt
from gedanken.agents.llm import Sampler, Samples, program_of
from gedanken.errors import ConfigError
from gedanken.models.attempts.heads import VERDICTS, Heads
from gedanken.worlds.ml_engineering.attempt import check
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.reading import read_design
from gedanken.worlds.ml_engineering.world import LONGEST
from gedanken.worlds.parameters import Design

LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "lightgbm")
_ROUNDS = 2
"""How often it is asked before it is given up."""
_PRINTABLE = frozenset(string.printable)
_WHY: Mapping[Mode, str] = {
    "draft": "written from nothing",
    "debug": "written to mend the last one",
    "improve": "written to improve the best",
    "explore": "written to try another model",
}


class _Candidate(NamedTuple):
    """A program that could be run. number: of the answer that it comes from, counted from 1."""

    number: int
    program: str
    design: Design | None


class _Choice(NamedTuple):
    """The candidate to run, and what is expected of it."""

    candidate: _Candidate
    outlook: Outlook | None = None
    chance: float | None = None


@dataclass(frozen=True, eq=False)
class Writing:
    """Has programs written, and picks among them by foresight.

    The Python that it proposes is a stranger's: run it in a sandbox alone.

    Attributes:
        client: who answers; a wrapper of a `Client` may reserve and charge the tokens.
        described: the task, see `Task.described`.
        heads: what is known across tasks; None runs the first candidate.
        task: [T], the task's features; needed with heads.
        candidates: how many programs are asked for at a time.
        exploring: how often another family of models is asked for, where there is something to improve.
        patience: after how many failures in a row it is no longer tried to mend the last one.
        least_ok: a program is not run whose probability of an answer is below this.
        thrift: how much time counts: merit is divided by the expected time to this power.
        shown: how many of the best programs a prompt shows.
        libraries: what a program may import.
    """

    name: ClassVar[str] = "writing"

    client: Sampler
    described: Mapping[str, Any]
    heads: Heads | None = None
    task: np.ndarray | None = None
    candidates: int = 3
    exploring: float = 0.25
    patience: int = 3
    least_ok: float = 0.3
    thrift: float = 1.0
    shown: int = 2
    libraries: tuple[str, ...] = LIBRARIES

    def __post_init__(self) -> None:
        shares = 0 <= self.exploring <= 1 and 0 <= self.least_ok <= 1 and self.thrift >= 0
        if not shares or self.candidates < 1 or self.patience < 0 or self.shown < 1:
            raise ConfigError(
                "Not a way of having programs written.",
                given=f"candidates={self.candidates}, exploring={self.exploring}, patience={self.patience}, "
                f"least_ok={self.least_ok}, thrift={self.thrift}, shown={self.shown}",
                expected="candidates and shown 1 or more, exploring and least_ok from 0 to 1, the rest 0 or more",
            )
        if self.heads is not None and self.task is None:
            raise ConfigError(
                "Heads foretell nothing of a task that they are told nothing of.", do="give `task`, its features."
            )

    def propose(
        self, kind: Kind, tried: Sequence[Tried], *, left_ms: float, limit_ms: float, seed: int
    ) -> Proposal | None:
        """See `Engineer`; None also where nothing that was answered, twice, is worth running.

        Raises:
            GedankenError: the language model cannot be reached, or refuses.
        """
        if left_ms <= 0:
            return None
        rng = np.random.default_rng(seed)
        tried = [replace(one, design=_read(one.program, kind)) if one.design is None else one for one in tried]
        mode = self._mode(tried, rng)
        now = Situation(self.described, kind, tried, limit_ms, left_ms, self.libraries, self.shown)
        refused: list[str] = []
        for _ in range(_ROUNDS):
            samples = self.client.sample(
                prompt(now, mode, refused), self.candidates, seed=int(rng.integers(2**31 - self.candidates))
            )
            candidates, reasons = _candidates(samples, kind, tried)
            choice, more = self._chosen(candidates, now, seed)
            refused += [*reasons, *more]
            if choice is not None:
                why = _WHY[mode] + _told(choice)
                why += f". Not run: {'; '.join(refused)}" if refused else ""
                candidate = choice.candidate
                return Proposal(candidate.program, candidate.design, why, choice.outlook, choice.chance)
        return None

    def _mode(self, tried: Sequence[Tried], rng: np.random.Generator) -> Mode:
        ended = [one for one in tried if one.verdict is not None]
        failures = next((i for i, one in enumerate(reversed(ended)) if one.skill is not None), len(ended))
        if 0 < failures <= self.patience:
            return "debug"
        if failures == len(ended):
            return "draft"
        return "explore" if rng.random() < self.exploring else "improve"

    def _chosen(self, candidates: Sequence[_Candidate], now: Situation, seed: int) -> tuple[_Choice | None, list[str]]:
        """What to run, and why not the others."""
        foretold = [(one, one.design) for one in candidates if one.design is not None]
        blind = [one for one in candidates if one.design is None]
        if self.heads is None or self.task is None:
            blind, foretold = list(candidates), []
        reasons: list[str] = []
        if foretold and self.heads is not None and self.task is not None:
            choice, reasons = self._foretold(self.heads, self.task, foretold, now, seed)
            if choice is not None:
                reasons += [f"candidate {one.number} has a model that cannot be foretold" for one in blind]
                return choice, reasons
        if not blind:
            return None, reasons
        return _Choice(blind[0]), [*reasons, *(f"candidate {one.number} came later" for one in blind[1:])]

    def _foretold(
        self,
        heads: Heads,
        task: np.ndarray,
        candidates: Sequence[tuple[_Candidate, Design]],
        now: Situation,
        seed: int,
    ) -> tuple[_Choice | None, list[str]]:
        """The candidate of most merit among those that are worth running at all."""
        foresight = Foreseeing(heads, task, self.thrift).foresight(now.tried, seed=seed)
        designs = [design for _, design in candidates]
        told = foresight.foretell(designs)
        cpu = told.startup_ms + np.minimum(told.work_ms, now.limit_ms)
        merit, chance = merit_of(foresight, designs, told)
        merit = merit - self.thrift * np.log(cpu)
        best = max((one.skill for one in now.tried if one.skill is not None), default=None)
        reasons: dict[int, str] = {}
        for i in range(len(candidates)):
            if told.ok[i] < self.least_ok:
                likely = VERDICTS[1 + int(np.argmax(told.verdicts[i, 1:]))]
                reasons[i] = f"is foretold to fail: {told.ok[i]:.0%} to answer, otherwise most likely {likely}"
            elif cpu[i] > now.left_ms:
                reasons[i] = f"is foretold to take {cpu[i] / 1_000:.1f} s of {now.left_ms / 1_000:.1f} s that are left"
            elif best is not None and told.skill_high[i] < best:
                reasons[i] = f"is foretold a skill of at most {told.skill_high[i]:.3f}, the best has {best:.3f}"
        worth = [i for i in range(len(candidates)) if i not in reasons]
        pick = max(worth, key=lambda i: float(merit[i]), default=None)
        for i in worth:
            if i != pick:
                reasons[i] = f"promises less: skill {told.skill[i]:.3f} in {cpu[i] / 1_000:.1f} s"
        words = [f"candidate {candidates[i][0].number} {why}" for i, why in sorted(reasons.items())]
        if pick is None:
            return None, words
        likely_better = None if chance is None else float(chance[pick])
        return _Choice(candidates[pick][0], outlook_of(told, pick, now.limit_ms), likely_better), words


def _candidates(samples: Samples, kind: Kind, tried: Sequence[Tried]) -> tuple[list[_Candidate], list[str]]:
    """The programs that can be run, and why the others cannot."""
    known = {_same(one.program) for one in tried}
    found, reasons = [], [f"an answer did not come ({error.what})" for error in samples.errors]
    for number, answer in enumerate(samples.answers, 1):
        program = program_of(answer.text)
        if answer.cut:
            why = "was cut off: it has more tokens than an answer may have"
        elif not program:
            why = "has no program"
        elif len(program) > LONGEST or not _PRINTABLE.issuperset(program):
            why = f"is not printable ASCII of at most {LONGEST:,} characters"
        elif wrong := _wrong(program):
            why = f"does not compile ({wrong})"
        elif (same := _same(program)) in known:
            why = "was tried before"
        else:
            known.add(same)
            found.append(_Candidate(number, program, _read(program, kind)))
            continue
        reasons.append(f"candidate {number} {why}")
    return found, reasons


def _wrong(program: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings, which are not ours
        return check(program)


@functools.lru_cache(1_024)
def _read(program: str, kind: Kind) -> Design | None:
    """Kept, because all that was tried is read anew for each proposal."""
    return read_design(program, kind)


@functools.lru_cache(1_024)
def _same(program: str) -> str:
    """What programs have in common that differ in comments and spaces alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(program))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program.strip()


def _told(choice: _Choice) -> str:
    outlook = choice.outlook
    if outlook is None:
        return "; nothing is foretold of it"
    words = f"; {outlook.ok:.0%} to answer, skill {outlook.skill:.3f} [{outlook.skill_low:.3f}, "
    words += f"{outlook.skill_high:.3f}], {outlook.cpu_ms / 1_000:.1f} s expected"
    return words + (f"; {choice.chance:.0%} to be better than the best so far" if choice.chance is not None else "")
