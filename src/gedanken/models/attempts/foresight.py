"""What is foretold of programs on one task: the heads across tasks, corrected by the task's own attempts.

What the task's own attempts differ by from the heads is a Gaussian process over programs. So the first suggestion is
informed, a machine of another speed or a task of another difficulty is a shift that a few attempts settle, and programs
that are like those that surprised are expected to surprise likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm

from gedanken.models.attempts.corrected import Corrected, corrected
from gedanken.models.attempts.features import log_error, skill_of
from gedanken.models.attempts.heads import VERDICTS, Heads
from gedanken.models.gaussian_process import GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.worlds.ml_engineering.pipelines import SPACE
from gedanken.worlds.parameters import Design

LEVEL = 0.9
"""Of all intervals."""
_LEAST, _MOST = 0.01, 0.99
"""Probabilities of a valid answer that are believed."""
_STARTUP_MS = 2_000.0
"""Until a program on this machine has said how long imports take."""
_SPEED = 0.5
"""Standard deviation of the logarithm of how fast a machine is, before it has run anything."""
_NOISE = 0.1
"""Relative, of an error that is measured on some hundred rows; only before the first attempt."""
_LIKELIEST = GaussianProcessConfig(scales=("shared",), draws=1)


@dataclass(frozen=True)
class Done:
    """An attempt on this task. skill: of the validation rows, None without an answer. work_ms: without its imports."""

    design: Design
    verdict: str
    skill: float | None
    work_ms: float
    startup_ms: float | None = None


@dataclass(frozen=True, eq=False)
class Foretold:
    """Of M programs.

    ok: [M], the probability of an answer that can be graded. verdicts: [M, V], of `VERDICTS`. skill, skill_low,
    skill_high: [M], where it has one. epistemic, aleatoric: [M], standard deviations of the log error. work_ms,
    work_low, work_high: [M], medians and intervals. startup_ms: of each besides its work.
    """

    ok: np.ndarray
    verdicts: np.ndarray
    skill: np.ndarray
    skill_low: np.ndarray
    skill_high: np.ndarray
    epistemic: np.ndarray
    aleatoric: np.ndarray
    work_ms: np.ndarray
    work_low: np.ndarray
    work_high: np.ndarray
    startup_ms: float


@dataclass(frozen=True, eq=False)
class Foresight:
    """The model of one task. Each attempt makes a new one of it.

    Attributes:
        heads: what is known across tasks.
        task: [T], the task's features.
        done: its own attempts.
        seed: of hyperparameters.
    """

    heads: Heads
    task: np.ndarray
    done: tuple[Done, ...] = ()
    seed: int = 0

    def after(self, done: Done) -> Foresight:
        """The model that knows one attempt more."""
        return Foresight(self.heads, self.task, (*self.done, done), self.seed)

    def foretell(self, designs: Sequence[Design]) -> Foretold:
        """What will become of programs."""
        mean, epistemic, aleatoric, low, high = self._error(designs)
        work, work_low, work_high = map(np.exp, self._work(designs))
        ok, verdicts = self._verdicts(designs)
        return Foretold(
            ok,
            verdicts,
            skill_of(mean),
            skill_of(high),
            skill_of(low),
            epistemic,
            aleatoric,
            work,
            work_low,
            work_high,
            self.startup_ms,
        )

    def better(self, one: Sequence[Design], other: Sequence[Design]) -> np.ndarray:
        """[M]: the probability that each of `one` is better than its counterpart; no answer is the worst there is."""
        mine, theirs = self.foretell(one), self.foretell(other)
        apart = log_error(theirs.skill) - log_error(mine.skill)
        spread = np.sqrt(np.square(mine.epistemic) + np.square(theirs.epistemic))
        both = norm.cdf(apart / np.maximum(spread, 1e-6))
        found: np.ndarray = (
            mine.ok * theirs.ok * both + mine.ok * (1 - theirs.ok) + 0.5 * (1 - mine.ok) * (1 - theirs.ok)
        )
        return found

    @property
    def startup_ms(self) -> float:
        """What a program takes besides its work."""
        known = [done.startup_ms for done in self.done if done.startup_ms is not None]
        return float(np.median(known)) if known else _STARTUP_MS

    @cached_property
    def error(self) -> Corrected | None:
        """Minus the log error, of which more is better; None before the first answer."""
        known = [(done.design, -float(log_error(done.skill))) for done in self.done if done.skill is not None]
        if not known:
            return None
        return corrected(
            lambda designs: -self.heads.expected_error(designs, self.task)[0],
            [design for design, _ in known],
            np.array([value for _, value in known]),
            left=self.heads.error_left,
            seed=self.seed,
        )

    @cached_property
    def work(self) -> Corrected | None:
        """The work's logarithm; None before the first attempt."""
        if not self.done:
            return None
        return corrected(
            lambda designs: self.heads.expected_work(designs, self.task)[0],
            [done.design for done in self.done],
            np.log([max(done.work_ms, 1.0) for done in self.done]),
            left=self.heads.work_left,
            seed=self.seed,
        )

    @cached_property
    def surprises(self) -> GaussianProcess | None:
        """The process of how much more often programs answer than the heads expect; None with fewer than two attempts.

        Not with the heads as a trend: an agent that avoids failures sees answers alone, which are as likely without it.
        """
        if len(self.done) < 2:
            return None
        designs = [done.design for done in self.done]
        answered = np.array([float(done.skill is not None) for done in self.done])
        left = answered - self.heads.verdicts(designs, self.task)[:, 0]
        return fit_gaussian_process(SPACE.groups, SPACE.encode(designs), left, config=_LIKELIEST, seed=self.seed)

    def _error(self, designs: Sequence[Design]) -> tuple[np.ndarray, ...]:
        """Mean, epistemic and aleatoric deviation, and the interval, of the log error."""
        if self.error is None:
            mean, apart = self.heads.expected_error(designs, self.task)
            mean = mean + self.heads.usual(self.task)
            epistemic = np.sqrt(np.square(apart) + self.heads.level_std**2 + self.heads.error_left**2)
            aleatoric = np.full(len(mean), _NOISE)
            reach = norm.ppf(0.5 + LEVEL / 2) * np.hypot(epistemic, aleatoric)
            return mean, epistemic, aleatoric, mean - reach, mean + reach
        belief, (low, high) = self.error.predict(designs), self.error.interval(designs, LEVEL)
        return -belief.mean, belief.epistemic, belief.aleatoric, -high, -low

    def _work(self, designs: Sequence[Design]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and interval of the work's logarithm."""
        if self.work is None:
            mean, apart = self.heads.expected_work(designs, self.task)
            # How fast this machine is, is not known yet.
            reach = norm.ppf(0.5 + LEVEL / 2) * np.sqrt(np.square(apart) + self.heads.work_left**2 + _SPEED**2)
            return mean, mean - reach, mean + reach
        low, high = self.work.interval(designs, LEVEL)
        return self.work.predict(designs).mean, low, high

    def _verdicts(self, designs: Sequence[Design]) -> tuple[np.ndarray, np.ndarray]:
        """[M], [M, V]: the probability of an answer, and those of all verdicts scaled to it."""
        before = self.heads.verdicts(designs, self.task)
        ok = (
            before[:, 0]
            if self.surprises is None
            else before[:, 0] + self.surprises.predict(SPACE.encode(designs)).mean
        )
        ok = np.clip(ok, _LEAST, _MOST)
        others = before[:, 1:] / np.maximum(before[:, 1:].sum(1, keepdims=True), 1e-9)
        return ok, np.hstack([ok[:, None], (1.0 - ok)[:, None] * others])


assert VERDICTS[0] == "ok"
