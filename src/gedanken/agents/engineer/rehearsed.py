"""Learns in the dream which moves pay, over all train tasks at once, and makes them for real.

REINFORCE over campaigns imagined by the model of attempts. What a campaign returns is its best skill, more if it is
reached early, less what failures cost. That depends on the truth that the dream has drawn more than on any move, so
several campaigns are played on each truth, and a campaign is compared with its siblings; a ridge regression on how
campaigns stood, fitted to those before, takes away what of the rest was to be expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, NamedTuple

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
_LEAST = 1e-6


def _no_better_than_success() -> PartialCredit:
    # A failure costs, the less the farther it came. Were it paid for instead, many quick failures would pay best. It
    # costs little: late programs raise the best skill by thousandths, and to stop before them must not pay.
    return PartialCredit(stages=VALID, failure=-0.005, a_stage=0.0005, success=0.0, score=0.0)


@dataclass(frozen=True)
class Rehearsing:
    """How moves are learned.

    Attributes:
        duration_aware: whether steps are weighed by their durations (see `agents.duration_aware`). A campaign draws
            anew after each program, where the plain gradient has no bias.
        campaigns: how many are imagined. siblings: how many of them on one truth.
        batch: steps an update.
        learning_rate, momentum: of gradient ascent on advantages in units of their standard deviation.
        sooner: how much of a rise of the best skill is lost if it comes at the end of the budget, from 0 to 1.
        thrift: what the whole budget costs, in units of skill; without it `stop` never pays.
        credit: what a program earns besides a rise of the best skill.
        seed: of everything random.
    """

    duration_aware: bool
    campaigns: int = 2_000
    siblings: int = 8
    batch: int = 256
    learning_rate: float = 0.3
    momentum: float = 0.8
    sooner: float = 0.5
    thrift: float = 0.0
    credit: PartialCredit = field(default_factory=_no_better_than_success)
    seed: int = 0

    def __post_init__(self) -> None:
        counts = self.campaigns < 1 or self.siblings < 2 or self.batch < 2
        if counts or not 0 <= self.thrift < math.inf or not 0 <= self.sooner <= 1 or self.seed < 0:
            raise ConfigError(
                "Not a way of learning moves.",
                given=f"campaigns={self.campaigns}, siblings={self.siblings}, batch={self.batch}, "
                f"sooner={self.sooner}, thrift={self.thrift}, seed={self.seed}",
                expected="a campaign, two siblings and two steps a batch or more, sooner from 0 to 1, and finite "
                "thrift and seed of 0 or more",
            )
        if self.credit.stages != VALID:
            raise ConfigError("Credit is of other stages.", given=self.credit.stages, expected=f"{VALID} stages")
        self.gradient  # noqa: B018  refuses settings that make no step

    @property
    def gradient(self) -> PolicyGradient:
        """The step of gradient ascent."""
        return PolicyGradient(self.duration_aware, self.learning_rate, self.momentum)


class Progress(NamedTuple):
    """After an update. best, returned, moves: means over the campaigns since the last one."""

    campaigns: int
    best: float
    returned: float
    moves: float


def train_policy(
    dream: AttemptsDream, config: Rehearsing, *, progress: Callable[[Progress], None] | None = None
) -> LearnedMoves:
    """Learns moves in imagined campaigns on the tasks that `dream` draws.

    Args:
        dream: where campaigns are imagined; it is reset.
        config: how.
        progress: called after each update.
    """
    rng = np.random.default_rng(config.seed)
    learned, memory = LearnedMoves.unlearned(), None
    baseline, steps = _Baseline(), _Steps()
    recent: list[_Campaign] = []
    for group in range(math.ceil(config.campaigns / config.siblings)):
        dream.reset(seed=int(rng.integers(2**31)))
        played = [_imagined(dream, learned, config, rng) for _ in range(config.siblings)]
        for one in played:
            others = (sum(other.total for other in played) - one.total) / (len(played) - 1)
            # What was earned until then, beside all that the others earned, says much of what will come of it.
            apart = np.cumsum(one.rewards) - one.rewards - others
            steps.add(one.seen, one.actions, np.full(len(apart), one.total - others), one.durations, apart)
        recent += played
        while len(steps) >= config.batch:
            seen, actions, better, durations, apart = steps.take(config.batch)
            if memory is None:
                # The first batch says what is usual, and is learned from too.
                usual = seen.std(0).astype(np.float64)
                usual[usual < _LEAST] = 1.0
                learned = replace(learned, mean=seen.mean(0).astype(np.float64), scale=usual)
                memory = config.gradient.begin(learned.policy)
            features = learned.features(seen)
            better = baseline.beyond(np.column_stack([features[:, :OBSERVED], apart]), better)
            policy, memory = config.gradient.update(learned.policy, memory, actions, better, durations, features)
            learned = replace(learned, policy=policy)
            if progress is not None and recent:
                means = ([one.best for one in recent], [one.total for one in recent], [len(one.seen) for one in recent])
                progress(Progress((group + 1) * config.siblings, *(float(np.mean(part)) for part in means)))
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


class _Campaign(NamedTuple):
    """A campaign of N moves. seen: [N, OBSERVED]; actions, rewards, durations: [N]; best: the best skill."""

    seen: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    durations: np.ndarray
    best: float

    @property
    def total(self) -> float:
        """What it returned."""
        return float(self.rewards.sum())


def _imagined(begun: AttemptsDream, learned: LearnedMoves, config: Rehearsing, rng: np.random.Generator) -> _Campaign:
    """One campaign of the truth that `begun` has drawn."""
    dream = begun.fork(seed=int(rng.integers(2**31)))
    observation, seen, actions, rewards, durations = dream.observation, [], [], [], []
    best, spent, budget, over = 0.0, 0.0, dream.campaigns.budget_ms, False
    while not over:
        seen.append(observation)
        actions.append(learned.choose(observation, rng))
        observation, rise, over, _, info = dream.step(actions[-1])
        spent += info["duration_ms"] / budget
        reward = rise * (1.0 - config.sooner * min(spent, 1.0)) - config.thrift * info["duration_ms"] / budget
        if info["verdict"]:
            reached = _REACHED.get(info["verdict"], _READ)
            reward += config.credit.reward(reached, succeeded=info["verdict"] == "ok")
        rewards.append(reward)
        # Even the decision to stop takes a moment: a duration of 0 has no weight.
        durations.append(max(info["duration_ms"], 1.0))
        best = info["best"]
    return _Campaign(np.array(seen), np.array(actions), np.array(rewards), np.array(durations), best)


class _Steps:
    """Steps of finished campaigns that were not learned from yet. Batches of one size need one compilation."""

    def __init__(self) -> None:
        self._held: list[tuple[np.ndarray, ...]] = []

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self._held)

    def add(self, *parts: np.ndarray) -> None:
        self._held.append(parts)

    def take(self, count: int) -> tuple[np.ndarray, ...]:
        """The oldest ones."""
        joined = [np.concatenate(part) for part in zip(*self._held, strict=True)]
        self._held = [tuple(part[count:] for part in joined)]
        return tuple(part[:count] for part in joined)


class _Baseline:
    """What was expected to come of steps, by ridge regression on how campaigns stood before."""

    def __init__(self) -> None:
        self._gram: np.ndarray | None = None
        self._moment: np.ndarray | None = None

    def beyond(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[B, F], [B] -> [B]: by how much y was better than expected, in standard deviations. Learns of it then."""
        x = np.hstack([x.astype(np.float64), np.ones((len(x), 1))])
        gram, moment = x.T @ x, x.T @ y
        if self._gram is None or self._moment is None:
            expected, self._gram, self._moment = np.full(len(y), y.mean()), gram, moment
        else:
            expected = x @ np.linalg.solve(self._gram + _RIDGE * np.eye(x.shape[1]), self._moment)
            self._gram, self._moment = _FORGET * self._gram + gram, _FORGET * self._moment + moment
        found: np.ndarray = (y - expected) / max(float((y - expected).std()), _LEAST)
        return found
