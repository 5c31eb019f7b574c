"""A campaign of programs on an imagined task: the model of attempts as a Gymnasium environment.

The heads foretell what becomes of programs; an episode draws one truth from what they leave open, and keeps to it: one
booster of each bag, how hard the task is, what each model is worth on it, how fast the machine is. A program's outcome
is a function of that truth and of the program. So it comes out the same whenever it is tried, forks that try other
programs first agree on it, and what differs between episodes is what the heads do not know.
"""

from __future__ import annotations

import copy
import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import gymnasium as gym
import numpy as np

from gedanken.dreams.attempts_seen import Ended, best_skill, bounds, kind_of, mask_of, observed
from gedanken.dreams.env import check_actions, provenance
from gedanken.errors import ConfigError
from gedanken.models.attempts.features import TASK_FEATURES, skill_of
from gedanken.models.attempts.heads import VERDICTS, Heads
from gedanken.worlds.ml_engineering.moves import MOVES, STOP, move, place
from gedanken.worlds.ml_engineering.pipelines import MODELS, SPACE, sensible
from gedanken.worlds.parameters import Categorical, Design

_CHOICES = tuple(p for p in SPACE.parameters if isinstance(p, Categorical))


@dataclass(frozen=True)
class Campaigns:
    """What imagined campaigns are like.

    Attributes:
        budget_ms: processor time that a campaign has. limit_ms: after how much a program is ended.
        startup_ms: what a program takes besides its work.
        noise: standard deviation of the logarithm of a program's error, of each program by itself.
        families: likewise, shared by all programs of a model, in units of `Heads.error_left`.
        speed: standard deviation of the logarithm of the machine's speed.
    """

    budget_ms: float = 120_000.0
    limit_ms: float = 30_000.0
    startup_ms: float = 2_000.0
    noise: float = 0.1
    families: float = 0.5
    speed: float = 0.3

    def __post_init__(self) -> None:
        times, spreads = (self.budget_ms, self.limit_ms, self.startup_ms), (self.noise, self.families, self.speed)
        if not (all(0 < time < math.inf for time in times) and all(0 <= spread < math.inf for spread in spreads)):
            raise ConfigError(
                "There are no such campaigns.", given=self, expected="finite times above 0, finite spreads of 0 or more"
            )


class Truth(NamedTuple):
    """What an episode keeps to.

    key: of what is drawn for each program. error, work, verdict: which booster of each bag. level: the task's usual
    log error. families: [8], what each model adds to it. speed: durations are multiplied by it.
    """

    key: int
    error: int
    work: int
    verdict: int
    level: float
    families: tuple[float, ...]
    speed: float


@dataclass(frozen=True)
class AttemptsSnapshot:
    """Everything that decides how an imagined campaign goes on, except the model. Treat its fields as opaque."""

    model_id: str
    task: str
    truth: Truth
    tried: tuple[Ended, ...]
    spent_ms: float
    over: bool
    rng: Mapping[str, Any]


class AttemptsDream(gym.Env[np.ndarray, np.int64]):
    """Imagined campaigns; an action is a move of `MOVES`, an observation what `observed` makes of the campaign.

    The reward is how far the best skill has risen (0, of knowing nothing, before the first), so that rewards add up to
    the best skill. An episode terminates by `stop`, or when the budget is spent: the program that is running then is
    ended without an answer. A move that leads nowhere costs `startup_ms`.

    `info` of a step holds `duration_ms`, `verdict` ("" where no program was run), `skill` (None without an answer),
    `design`, `best`, `action_mask` ([K] int8, the moves that are possible next) and `provenance`.

    Args:
        heads: the model.
        tasks: name -> [T] features, of the tasks that campaigns are on.
        campaigns: what they are like.
        worth: name -> how much a task is worth practising, 0 or more; by default all alike. `reset` draws by it.

    Raises:
        ConfigError: no tasks, features that are not finite or of another size, or a worth of no task.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        heads: Heads,
        tasks: Mapping[str, np.ndarray],
        campaigns: Campaigns | None = None,
        *,
        worth: Mapping[str, float] | None = None,
    ) -> None:
        self.heads, self.campaigns = heads, campaigns or Campaigns()
        self.tasks = {name: np.asarray(row, np.float64) for name, row in sorted(tasks.items())}
        self._shares = _shares(self.tasks, worth)
        self.action_space = gym.spaces.Discrete(len(MOVES))
        self.observation_space = gym.spaces.Box(*bounds())
        told = [heads.level_std, heads.error_left, heads.work_left, heads.tasks, *heads.level]
        self.model_id = f"attempts-{hashlib.sha256(np.array(told, np.float64).tobytes()).hexdigest()[:12]}"
        self._foretold: dict[tuple[str, str, int], np.ndarray] = {}
        self._now: AttemptsSnapshot | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts a campaign.

        Args:
            seed: makes everything that follows reproducible.
            options: {"task": a name}; by default one is drawn.

        Raises:
            ConfigError: an unknown option or task.
        """
        super().reset(seed=seed)
        given = options or {}
        if given.keys() - {"task"} or given.get("task", next(iter(self.tasks))) not in self.tasks:
            raise ConfigError(
                "These reset options make no start.", given=given, expected=f"'task', one of {', '.join(self.tasks)}"
            )
        # Both are drawn always, so that a seed means the same truth with a task named as without.
        key, picked = int(self.np_random.integers(2**63)), str(self.np_random.choice(list(self.tasks), p=self._shares))
        task = str(given.get("task", picked))
        truth = self._drawn(self.tasks[task], key)
        self._now = AttemptsSnapshot(self.model_id, task, truth, (), 0.0, False, {})
        observation = self.observation
        mask = mask_of(observation)
        return observation, {"task": task, "action_mask": mask, "provenance": provenance(self.model_id)}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagines what a move brings.

        Raises:
            ConfigError: it is no move, or there is no running episode.
        """
        which = int(check_actions(self.action_space, action, ()))
        now = self._begun()
        if now.over:
            raise ConfigError("This imagined campaign is over.", do="call reset(), or restore() an earlier snapshot.")
        task, before = self.tasks[now.task], best_skill(now.tried)
        kind, left = kind_of(task), self.campaigns.budget_ms - now.spent_ms
        design = move(kind, which, now.tried, self.np_random)
        tried, took = now.tried, 0.0 if which == STOP else min(self.campaigns.startup_ms, left)
        if design is not None:
            ended = self._outcome(now, design, which)
            if ended.duration_ms > left:
                ended = Ended(design, "timeout", None, left)
            tried, took = (*tried, ended), ended.duration_ms
        # Not a sum of what was spent: what is left would then never be exactly 0.
        spent = self.campaigns.budget_ms if took >= left else now.spent_ms + took
        over = which == STOP or took >= left
        self._now = replace(now, tried=tried, spent_ms=spent, over=over)
        best = best_skill(tried)
        observation = self.observation
        info = {
            "duration_ms": took,
            "verdict": str(tried[-1].verdict) if design is not None else "",
            "skill": tried[-1].skill if design is not None else None,
            "design": design,
            "best": best,
            "action_mask": mask_of(observation),
            "provenance": provenance(self.model_id),
        }
        return observation, best - before, over, False, info

    def snapshot(self) -> AttemptsSnapshot:
        """Where the campaign stands; hand it to `restore` of this or any other dream of the same model and tasks.

        Raises:
            ConfigError: there is no campaign yet.
        """
        return replace(self._begun(), rng=copy.deepcopy(self.np_random.bit_generator.state))

    def restore(self, snapshot: AttemptsSnapshot) -> None:
        """Continues from `snapshot`, bit for bit as it went on from there.

        Raises:
            ConfigError: the snapshot is of another model, or of a task that this dream does not know.
        """
        if snapshot.model_id != self.model_id or snapshot.task not in self.tasks:
            raise ConfigError(
                "This snapshot is of another dream.",
                given=f"{snapshot.task} of {snapshot.model_id}",
                expected=f"{', '.join(self.tasks)} of {self.model_id}",
            )
        rng = np.random.Generator(np.random.PCG64())
        rng.bit_generator.state = copy.deepcopy(dict(snapshot.rng))
        self.np_random, self._now = rng, snapshot

    def fork(self, *, seed: int | None = None) -> Self:
        """A second dream at the same point, of the same truth. It goes on identically, or draws by `seed` otherwise."""
        now, other = self.snapshot(), copy.copy(self)
        other.restore(now)
        if seed is not None:
            other.np_random = np.random.default_rng(seed)
        return other

    @property
    def observation(self) -> np.ndarray:
        """[OBSERVED] float32: what is seen of the campaign now."""
        now = self._begun()
        return observed(self.tasks[now.task], now.tried, left=1.0 - now.spent_ms / self.campaigns.budget_ms)

    def _begun(self) -> AttemptsSnapshot:
        if self._now is None:
            raise ConfigError("This dream has not begun.", do="call reset() first.")
        return self._now

    def _drawn(self, task: np.ndarray, key: int) -> Truth:
        rng, heads, about = np.random.default_rng(key), self.heads, self.campaigns
        error, work, verdict = (int(rng.integers(len(bag))) for bag in (heads.error, heads.work, heads.verdict))
        level = heads.usual(task) + heads.level_std * rng.standard_normal()
        families = about.families * heads.error_left * rng.standard_normal(len(MODELS))
        speed = math.exp(about.speed * rng.standard_normal())
        return Truth(key, error, work, verdict, float(level), tuple(families.tolist()), speed)

    def _outcome(self, now: AttemptsSnapshot, design: Design, which: int) -> Ended:
        """What becomes of a program, had it all the time of a program."""
        truth, about = now.truth, self.campaigns
        error, work, verdicts = (
            self._told(now.task, name, getattr(truth, name), design, which) for name in ("error", "work", "verdict")
        )
        # Programs that differ in numbers alone fail for the same reasons, so they share their luck.
        choices = [design[p.name] for p in _CHOICES]
        luck = np.random.default_rng([truth.key, zlib.crc32(repr(choices).encode())]).random()
        verdict = VERDICTS[int(np.searchsorted(np.cumsum(verdicts)[:-1], luck * verdicts.sum(), side="right"))]
        took = about.startup_ms + math.exp(float(work)) * truth.speed
        if verdict == "timeout" or took >= about.limit_ms:
            return Ended(design, "timeout", None, about.limit_ms)
        if verdict != "ok":
            return Ended(design, verdict, None, took)
        noise = np.random.default_rng([truth.key, zlib.crc32(repr(place(design)).encode())]).standard_normal()
        family = truth.families[MODELS.index(str(design["model"]))]
        skill = float(skill_of(truth.level + float(error) + family + about.noise * noise))
        return Ended(design, verdict, min(skill, 1.0), took)

    def _told(self, task: str, name: str, bag: int, design: Design, which: int) -> np.ndarray:
        """What one model of a bag says of a program. Of the sensible ones, all at once and once only."""
        row = self.tasks[task]
        if which >= len(MODELS):
            return self.heads.one(name, bag, [design], row)[0]  # type: ignore[no-any-return]
        where = (task, name, bag)
        if where not in self._foretold:
            self._foretold[where] = self.heads.one(name, bag, sensible(kind_of(row)), row)
        return self._foretold[where][which]  # type: ignore[no-any-return]


def _shares(tasks: Mapping[str, np.ndarray], worth: Mapping[str, float] | None) -> np.ndarray:
    """[N], how often each task is drawn."""
    sizes = {row.shape for row in tasks.values()}
    if sizes != {(len(TASK_FEATURES),)} or not all(np.isfinite(row).all() for row in tasks.values()):
        raise ConfigError(
            "There is no campaign without a task.",
            given=f"{len(tasks)} tasks of shapes {sorted(sizes)}",
            expected=f"one or more, with {len(TASK_FEATURES)} finite features each",
        )
    weights = np.array([1.0 if worth is None else float(worth.get(name, 0.0)) for name in tasks])
    unknown = set(worth or ()) - tasks.keys()
    if unknown or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.sum() > 0:
        raise ConfigError(
            "Tasks cannot be drawn by this worth.",
            given=dict(worth or {}),
            expected=f"finite numbers of 0 or more, one of them above 0, of {', '.join(tasks)}",
        )
    shares: np.ndarray = weights / weights.sum()
    return shares
