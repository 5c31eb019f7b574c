"""Learns in the dream which moves pay, over all train tasks at once, and makes them for real.

REINFORCE over campaigns imagined by the model of attempts. A step's return is what the best skill rises by from there
to the campaign's end, less what failures and time cost; what was expected of it is a ridge regression on what the
policy sees, fitted to campaigns before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gedanken.agents.duration_aware import PartialCredit, PolicyGradient
from gedanken.agents.engineer.contract import Proposal, Tried
from gedanken.agents.engineer.foreseeing import Foreseeing, outlook_of
from gedanken.agents.engineer.learned_moves import LearnedMoves
from gedanken.dreams.attempts import AttemptsDream
from gedanken.dreams.attempts_seen import OBSERVED, Ended, kind_of, observed
from gedanken.errors import ConfigError
from gedanken.models.attempts.heads import VERDICTS, Heads
from gedanken.worlds.ml_engineering.attempt import VALID
from gedanken.worlds.ml_engineering.harness import STAGES
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.moves import MOVES, STOP, best_designs, move
from gedanken.worlds.ml_engineering.pipelines import program

_REACHED = {"ok": VALID, "invalid": len(STAGES), "timeout": STAGES.index("fitting") + 1}
"""How far a program came, by its verdict, which is all that the dream foretells; others: it has read its data."""
_READ = STAGES.index("read") + 1
_FORGET = 0.9
"""What older batches count for in the baseline, each."""
_RIDGE = 10.0


def _no_better_than_success() -> PartialCredit:
    # A failure costs, the less the farther it came. Were it paid for instead, many quick failures would pay best.
    return PartialCredit(stages=VALID, failure=-0.05, a_stage=0.005, success=0.0, score=0.0)


@dataclass(frozen=True)
class Rehearsing:
    """How moves are learned.

    Attributes:
        duration_aware: whether steps are weighed by their durations (see `agents.duration_aware`). A campaign draws
            anew after each program, where the plain gradient has no bias.
        campaigns: how many are imagined.
        batch: steps an update.
        learning_rate, momentum: of gradient ascent on advantages in units of their standard deviation.
        thrift: what the whole budget costs, in units of skill; without it `stop` never pays.
        credit: what a program earns besides a rise of the best skill.
        seed: of everything random.
    """

    duration_aware: bool
    campaigns: int = 1_000
    batch: int = 512
    learning_rate: float = 0.05
    momentum: float = 0.8
    thrift: float = 0.0
    credit: PartialCredit = field(default_factory=_no_better_than_success)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.campaigns < 1 or self.batch < 2 or not 0 <= self.thrift < math.inf or self.seed < 0:
            raise ConfigError(
                "Not a way of learning moves.",
                given=f"campaigns={self.campaigns}, batch={self.batch}, thrift={self.thrift}, seed={self.seed}",
                expected="one campaign or more, two steps a batch or more, finite thrift and seed of 0 or more",
            )
        if self.credit.stages != VALID:
            raise ConfigError("Credit is of other stages.", given=self.credit.stages, expected=f"{VALID} stages")
        self.gradient  # noqa: B018  refuses settings that make no step

    @property
    def gradient(self) -> PolicyGradient:
        """The step of gradient ascent."""
        return PolicyGradient(self.duration_aware, self.learning_rate, self.momentum)


class Progress(NamedTuple):
    """After an update. best, returned, programs: means over the campaigns since the last one."""

    campaigns: int
    best: float
    returned: float
    programs: float


def train_policy(
    dream: AttemptsDream, config: Rehearsing, *, progress: Callable[[Progress], None] | None = None
) -> LearnedMoves:
    """Learns moves in imagined campaigns on the tasks that `dream` draws.

    Args:
        dream: where campaigns are imagined; it is reset.
        config: how.
        progress: called after each update.
    """
    rng, credit = np.random.default_rng(config.seed), config.credit
    learned, memory = LearnedMoves.unlearned(), None
    baseline, steps = _Baseline(), _Steps()
    recent: list[tuple[float, float, int]] = []
    for number in range(config.campaigns):
        observation, _ = dream.reset(seed=int(rng.integers(2**31)))
        seen, actions, rewards, durations, best, over = [], [], [], [], 0.0, False
        while not over:
            which = learned.choose(observation, rng)
            seen.append(observation)
            observation, reward, over, _, info = dream.step(which)
            if info["verdict"]:
                reached = _REACHED.get(info["verdict"], _READ)
                reward += credit.reward(reached, succeeded=info["verdict"] == "ok")
            reward -= config.thrift * info["duration_ms"] / dream.campaigns.budget_ms
            actions.append(which)
            rewards.append(reward)
            # Even the decision to stop takes a moment: a duration of 0 has no weight.
            durations.append(max(info["duration_ms"], 1.0))
            best = info["best"]
        steps.add(np.array(seen), np.array(actions), np.cumsum(rewards[::-1])[::-1], np.array(durations))
        recent.append((best, float(sum(rewards)), sum(which != STOP for which in actions)))
        while len(steps) >= config.batch:
            observations, moves, returns, took = steps.take(config.batch)
            if memory is None:
                # The first batch says what is usual, and is learned from too.
                spread = observations.std(0)
                usual = np.where(spread > 1e-6, spread, 1.0)
                learned = replace(learned, mean=observations.mean(0).astype(np.float64), scale=usual.astype(np.float64))
                memory = config.gradient.begin(learned.policy)
            features = learned.features(observations)
            better = returns - baseline.expected(features[:, :OBSERVED], returns)
            baseline.learn(features[:, :OBSERVED], returns)
            better /= max(float(better.std()), 1e-9)
            policy, memory = config.gradient.update(learned.policy, memory, moves, better, took, features)
            learned = replace(learned, policy=policy)
            if progress is not None and recent:
                progress(Progress(number + 1, *(float(np.mean(part)) for part in zip(*recent, strict=True))))
                recent.clear()
    about = {"model": dream.model_id, "tasks": list(dream.tasks), "dream": asdict(dream.campaigns)}
    return replace(learned, about={**about, "learning": asdict(config)})


@dataclass(frozen=True, eq=False)
class Rehearsed:
    """Makes the moves that were learned in the dream.

    Attributes:
        learned: the policy.
        task: [T], the features of the task that is worked on.
        heads: what is known across tasks, to foretell its programs; without them it says nothing of what it expects.
    """

    name: ClassVar[str] = "rehearsed"

    learned: LearnedMoves
    task: np.ndarray
    heads: Heads | None = None

    def propose(
        self, kind: Kind, tried: Sequence[Tried], *, left_ms: float, limit_ms: float, seed: int
    ) -> Proposal | None:
        """The next program; None where nothing is left, and where the policy would stop.

        Raises:
            ConfigError: the task's features are of another kind of task.
        """
        if (kind == "regression") != (kind_of(self.task) == "regression"):
            raise ConfigError("These are features of another task.", given=kind_of(self.task), expected=kind)
        if left_ms <= 0:
            return None
        rng = np.random.default_rng(seed)
        past = [ended_of(one) for one in tried]
        spent = sum(one.duration_ms for one in past)
        chances = self.learned.probabilities(observed(self.task, past, left=left_ms / (left_ms + spent)))
        # A move that turns out to lead to nothing new gives way to the others.
        while chances.sum() > 0:
            which = int(rng.choice(len(MOVES), p=chances / chances.sum()))
            if which == STOP:
                return None
            design = move(kind, which, tried, rng)
            if design is not None:
                break
            chances[which] = 0.0
        else:
            return None
        why = f"the move that was learned: {MOVES[which]}, {chances[which] / chances.sum():.0%}"
        if self.heads is None:
            return Proposal(program(design, kind), design, why)
        foresight = Foreseeing(self.heads, self.task).foresight(tried, seed=seed)
        outlook = outlook_of(foresight.foretell([design]), 0, limit_ms)
        best = best_designs(tried, 1)
        chance = float(foresight.better([design], best)[0]) if best else None
        return Proposal(program(design, kind), design, why, outlook, chance)


def ended_of(tried: Tried) -> Ended:
    """A real program as the policy sees it; verdicts that the model does not tell apart are errors to it."""
    verdict = tried.verdict if tried.verdict is None or tried.verdict in VERDICTS else "error"
    return Ended(tried.design, verdict, tried.skill, float(tried.cpu_ms))


class _Steps:
    """Steps of finished campaigns that were not learned from yet. Batches of one size need one compilation."""

    def __init__(self) -> None:
        self._held: list[tuple[np.ndarray, ...]] = []

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self._held)

    def add(self, *parts: np.ndarray) -> None:
        self._held.append(parts)

    def take(self, count: int) -> tuple[Any, ...]:
        """The oldest ones."""
        joined = [np.concatenate(part) for part in zip(*self._held, strict=True)]
        self._held = [tuple(part[count:] for part in joined)]
        return tuple(part[:count] for part in joined)


class _Baseline:
    """The return that is expected, by ridge regression on what is seen."""

    def __init__(self) -> None:
        self._gram: Any = None
        self._moment: Any = None

    def expected(self, features: np.ndarray, returns: np.ndarray) -> np.ndarray:
        """[B, F] -> [B]; before anything was learned, the mean of these returns."""
        if self._gram is None:
            return np.full(len(features), returns.mean())
        x = _with_constant(features)
        weights = np.linalg.solve(self._gram + _RIDGE * np.eye(x.shape[1]), self._moment)
        found: np.ndarray = x @ weights
        return found

    def learn(self, features: np.ndarray, returns: np.ndarray) -> None:
        """Of [B, F] and what they returned, [B]."""
        x = _with_constant(features)
        gram, moment = x.T @ x, x.T @ returns
        self._gram = gram if self._gram is None else _FORGET * self._gram + gram
        self._moment = moment if self._moment is None else _FORGET * self._moment + moment


def _with_constant(features: np.ndarray) -> np.ndarray:
    return np.hstack([features.astype(np.float64), np.ones((len(features), 1))])
