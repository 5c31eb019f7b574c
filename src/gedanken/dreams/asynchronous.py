"""Workers that act side by side and take their time: a simulator of asynchronous learning, in simulated seconds.

Each of W workers draws an action from the current policy, is busy for as long as it takes, delivers a run, and draws
again. A learner takes B finished runs at a time, in the order in which they end, and changes the policy at once. Nobody
looks at a clock: events are a heap, and all randomness comes from one generator, so the same seed is the same run.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from gedanken.errors import ConfigError, WorldError

P = TypeVar("P")
"""The policy, or whatever else the learner changes."""


class Ending(StrEnum):
    """How a run ended. The first two are delivered to the learner."""

    FINISHED = "finished"
    TIMED_OUT = "timed_out"
    ABANDONED = "abandoned"
    """Stopped because the policy that drew it was changed."""
    UNFINISHED = "unfinished"
    """Still going on at the end of the simulation."""

    @property
    def delivered(self) -> bool:
        """Whether the learner sees the run."""
        return self in (Ending.FINISHED, Ending.TIMED_OUT)


class Result(NamedTuple):
    """What an action brings, and the seconds it takes if it is let."""

    reward: float
    duration: float


class Run(NamedTuple):
    """What one worker did with one action.

    number: how many runs were begun before. worker: which of them. reward: NaN if it was not delivered.
    duration: for how many seconds it kept its worker busy. started_at, ended_at: in seconds since the beginning.
    version: how many updates the policy had seen that drew it.
    """

    number: int
    worker: int
    action: int
    reward: float
    duration: float
    started_at: float
    ended_at: float
    version: int
    ending: Ending


Act = Callable[[P, np.random.Generator, int], int]
"""(policy, generator, worker) -> an action. Most policies do not care for the worker."""
World = Callable[[int, np.random.Generator], Result]
"""(action, generator) -> what it brings and takes."""
Learn = Callable[[P, list[Run]], P]
"""(policy, batch of delivered runs in the order in which they ended) -> the changed policy."""


@dataclass(frozen=True)
class Asynchrony:
    """How the work is shared out.

    Attributes:
        workers: W, how many there are.
        batch: B, how many delivered runs make an update.
        time_limit: seconds after which a run is stopped and delivered as it is; None for no limit.
        timeout_reward: what a run that was stopped there brings.
        abandon: whether an update stops all runs of earlier policies, so that the learner is always on policy.
    """

    workers: int
    batch: int
    time_limit: float | None = None
    timeout_reward: float = 0.0
    abandon: bool = False

    def __post_init__(self) -> None:
        limited = self.time_limit is None or 0 < self.time_limit < math.inf
        if self.workers < 1 or self.batch < 1 or not limited or not math.isfinite(self.timeout_reward):
            raise ConfigError(
                "Nobody can work like this.",
                given=self,
                expected="workers >= 1, batch >= 1, a time limit above 0 or None, and a finite timeout_reward",
            )


@dataclass(frozen=True)
class Simulated(Generic[P]):
    """What came of it.

    Attributes:
        policy: the last one.
        runs: those delivered, in the order in which they ended.
        rest: those abandoned and, last, those unfinished.
        updates: seconds at which the policy was changed.
    """

    policy: P
    runs: tuple[Run, ...]
    rest: tuple[Run, ...]
    updates: tuple[float, ...]


def simulate(
    asynchrony: Asynchrony,
    policy: P,
    act: Act[P],
    world: World,
    learn: Learn[P] | None = None,
    *,
    until: float,
    rng: np.random.Generator,
) -> Simulated[P]:
    """Lets the workers work from second 0 to second `until`; a run that ends right then is still delivered.

    Of runs that end at the same moment, the one begun first comes first. An update takes no time, and a worker whose
    run completes a batch draws from the changed policy.

    Args:
        asynchrony: how the work is shared out.
        policy: the first one. `act` and `learn` must leave it as it is and return what is new.
        act, world: draw all their randomness from the generator they are given.
        learn: by default the policy stays.
        until: seconds, above 0.
        rng: of everything.

    Raises:
        ConfigError: `until` is not a finite time above 0.
        WorldError: an action takes no time or forever, or its reward is not finite.
    """
    if not 0 < until < math.inf:
        raise ConfigError("A simulation ends.", given=until, expected="finite seconds above 0")
    # An ending's moment and the run's number decide; no two runs have the same number.
    ahead: list[tuple[float, int, Run]] = []
    runs: list[Run] = []
    rest: list[Run] = []
    updates: list[float] = []
    begun = 0

    def begin(worker: int, now: float) -> None:
        nonlocal begun
        run = _begin(asynchrony, act(policy, rng, worker), world, rng, Place(begun, worker, now, len(updates)))
        heapq.heappush(ahead, (run.ended_at, run.number, run))
        begun += 1

    for worker in range(asynchrony.workers):
        begin(worker, 0.0)
    while ahead[0][0] <= until:
        now, _, run = heapq.heappop(ahead)
        runs.append(run)
        free = [run.worker]
        if learn is not None and len(runs) % asynchrony.batch == 0:
            policy = learn(policy, runs[-asynchrony.batch :])
            updates.append(now)
            if asynchrony.abandon:
                stopped = [_stopped(other, now, Ending.ABANDONED) for *_, other in sorted(ahead)]
                rest += stopped
                free += [other.worker for other in stopped]
                ahead.clear()
        for worker in free:
            begin(worker, now)
    rest += [_stopped(run, until, Ending.UNFINISHED) for *_, run in sorted(ahead)]
    return Simulated(policy, tuple(runs), tuple(rest), tuple(updates))


class Place(NamedTuple):
    """Where a run begins; see `Run`."""

    number: int
    worker: int
    started_at: float
    version: int


def _begin(asynchrony: Asynchrony, action: int, world: World, rng: np.random.Generator, place: Place) -> Run:
    """A run as it ends if nobody stops it."""
    reward, duration = world(action, rng)
    # A duration that adds nothing to the time of day would never let it pass.
    if not (place.started_at + duration > place.started_at and math.isfinite(duration) and math.isfinite(reward)):
        raise WorldError(
            "An action brings a reward and takes time.",
            given=f"reward={reward}, duration={duration} for action {action}",
            expected="a finite reward, and finite seconds above 0",
        )
    limit, ending = asynchrony.time_limit, Ending.FINISHED
    if limit is not None and duration > limit:
        reward, duration, ending = asynchrony.timeout_reward, limit, Ending.TIMED_OUT
    number, worker, now, version = place
    return Run(number, worker, action, reward, duration, now, now + duration, version, ending)


def _stopped(run: Run, now: float, ending: Ending) -> Run:
    """The same run, stopped before it delivered anything."""
    return run._replace(reward=math.nan, duration=now - run.started_at, ended_at=now, ending=ending)
