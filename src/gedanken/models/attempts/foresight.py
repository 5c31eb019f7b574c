"""What is foretold of programs on one task: the heads across tasks, corrected by the task's own attempts.

The heads are to a task what an earlier campaign is to a new one: a trend (`models.gaussian_process.trend`) that its own
results may follow, scale, shift or drop. So the first suggestion is informed, a machine of another speed or a task of
another difficulty is a shift that a few attempts settle, and heads that mislead lose by the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm

from gedanken.models.attempts.features import decoded, log_error, skill_of
from gedanken.models.attempts.heads import VERDICTS, Heads
from gedanken.models.gaussian_process import GaussianProcess, GaussianProcessConfig, Trend, fit_gaussian_process
from gedanken.models.gaussian_process.trend import Expected
from gedanken.worlds.ml_engineering.pipelines import SPACE
from gedanken.worlds.parameters import Design

LEVEL = 0.9
"""Of all intervals."""
_LEAST, _MOST = 0.01, 0.99
"""Probabilities of a valid answer that are believed."""
_STARTUP_MS = 2_000.0
"""Until a program on this machine has said how long imports take."""
_NOISE = 0.1
"""Relative, of an error that is measured on some hundred rows; only before the first attempt."""
_CONFIG = GaussianProcessConfig(draws=4)
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
        x = SPACE.encode(designs)
        mean, epistemic, aleatoric, low, high = self._error(designs, x)
        work, work_low, work_high = map(
            np.exp, self._of(self.work, designs, x, self.heads.expected_work, self.heads.work_spread)
        )
        ok, verdicts = self._verdicts(designs, x)
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

    def encoded(self, designs: Sequence[Design]) -> np.ndarray:
        """[M, F]: programs as the processes take them."""
        return SPACE.encode(designs)

    @property
    def startup_ms(self) -> float:
        """What a program takes besides its work."""
        known = [done.startup_ms for done in self.done if done.startup_ms is not None]
        return float(np.median(known)) if known else _STARTUP_MS

    @cached_property
    def error(self) -> GaussianProcess | None:
        """The process of minus the log error, of which more is better; None before the first answer."""
        known = [(done.design, -float(log_error(done.skill))) for done in self.done if done.skill is not None]

        def expected(x: np.ndarray) -> np.ndarray:
            return -self.heads.expected_error(decoded(x), self.task)[0] / self.heads.spread

        return self._fitted(known, expected, self.heads.spread, _CONFIG)

    @cached_property
    def work(self) -> GaussianProcess | None:
        """The process of the work's logarithm; None before the first attempt."""
        known = [(done.design, float(np.log(max(done.work_ms, 1.0)))) for done in self.done]
        spread = self.heads.work_spread

        def expected(x: np.ndarray) -> np.ndarray:
            found = self.heads.expected_work(decoded(x), self.task)[0]
            return np.asarray(found - self._usual_work) / spread

        return self._fitted(known, expected, spread, _CONFIG)

    @cached_property
    def _usual_work(self) -> float:
        designs = [done.design for done in self.done]
        return float(self.heads.expected_work(designs, self.task)[0].mean())

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

    def _fitted(
        self,
        known: Sequence[tuple[Design, float]],
        expected: Expected,
        scale: float,
        config: GaussianProcessConfig,
    ) -> GaussianProcess | None:
        if not known:
            return None
        x, y = SPACE.encode([design for design, _ in known]), np.array([value for _, value in known])
        return fit_gaussian_process(SPACE.groups, x, y, config=config, trend=Trend((expected,), scale), seed=self.seed)

    def _error(self, designs: Sequence[Design], x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Mean, epistemic and aleatoric deviation, and the interval, of the log error."""
        if self.error is None:
            mean, apart = self.heads.expected_error(designs, self.task)
            mean = mean + self.heads.usual(self.task)
            epistemic = np.sqrt(np.square(apart) + self.heads.level_std**2 + (0.5 * self.heads.spread) ** 2)
            aleatoric = np.full(len(mean), _NOISE)
            reach = norm.ppf(0.5 + LEVEL / 2) * np.hypot(epistemic, aleatoric)
            return mean, epistemic, aleatoric, mean - reach, mean + reach
        belief, (low, high) = self.error.predict(x), self.error.interval(x, LEVEL)
        return -belief.mean, belief.epistemic, belief.aleatoric, -high, -low

    def _of(
        self,
        process: GaussianProcess | None,
        designs: Sequence[Design],
        x: np.ndarray,
        head: Callable[[Sequence[Design], np.ndarray], tuple[np.ndarray, np.ndarray]],
        spread: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and interval of the process, or of its head where there is none yet."""
        if process is None:
            mean, apart = head(designs, self.task)
            reach = norm.ppf(0.5 + LEVEL / 2) * np.hypot(apart, 0.5 * spread)
            return mean, mean - reach, mean + reach
        low, high = process.interval(x, LEVEL)
        return process.predict(x).mean, low, high

    def _verdicts(self, designs: Sequence[Design], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[M], [M, V]: the probability of an answer, and those of all verdicts scaled to it."""
        before = self.heads.verdicts(designs, self.task)
        ok = before[:, 0] if self.surprises is None else before[:, 0] + self.surprises.predict(x).mean
        ok = np.clip(ok, _LEAST, _MOST)
        others = before[:, 1:] / np.maximum(before[:, 1:].sum(1, keepdims=True), 1e-9)
        return ok, np.hstack([ok[:, None], (1.0 - ok)[:, None] * others])


assert VERDICTS[0] == "ok"
