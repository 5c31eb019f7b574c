"""A task as a world: an action is a program, what it costs is compute, and the reward is how far it betters the best.

An episode is a campaign on one task. The agent is told the validation score, how far the program came, the end of what
it printed and how long it took. The hidden score is not in the observation: it goes into `info`, for the record.
"""

from __future__ import annotations

import math
import os
import string
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.experience.cost import Cost
from gedanken.worlds.ml_engineering.attempt import VALID, Attempt, Verdict, attempt, check
from gedanken.worlds.ml_engineering.suite import find_task
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.sandbox import Isolation, Limits
from gedanken.worlds.world import World

LONGEST = 20_000
"""Characters of a program as an action."""
OUTPUT = 2_000
"""Characters of output that an agent is told."""
VERDICTS = tuple(Verdict)
_CHARACTERS = frozenset(string.printable)
_SLACK_MS = 10_000
"""What ending a program that broke a limit may take."""


class EngineeringEnv(gym.Env[dict[str, Any], str]):
    """Attempts at one task.

    The observation: `verdict` (its place in `VERDICTS`), `stage` (see `Attempt`), `scored` and `skill` of the
    validation rows, `best` skill so far (0, of knowing nothing, before the first), `seconds` by the clock, and
    `output`: what was printed, or complained of, last. The reward is how far the best skill has risen, never below 0.
    """

    def __init__(
        self, task: Task, *, limits: Limits | None = None, isolation: Isolation = Isolation.BUBBLEWRAP
    ) -> None:
        self.task, self.limits, self.isolation = task, limits or Limits(), isolation
        self.action_space = gym.spaces.Text(LONGEST, charset=_CHARACTERS)
        self.observation_space = gym.spaces.Dict(
            {
                "verdict": gym.spaces.Discrete(len(VERDICTS)),
                "stage": gym.spaces.Discrete(VALID + 1),
                "scored": gym.spaces.Discrete(2),
                "skill": gym.spaces.Box(-np.inf, 1.0, (), np.float64),
                "best": gym.spaces.Box(0.0, 1.0, (), np.float64),
                "seconds": gym.spaces.Box(0.0, np.inf, (), np.float64),
                "output": gym.spaces.Text(OUTPUT, min_length=0, charset=_CHARACTERS),
            }
        )
        self._best = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._best = 0.0
        nothing = Attempt(Verdict.REJECTED, 0, None, None, 0, 0, 0, None, "", "")
        return self._observed(nothing), {}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        done, _ = attempt(self.task, action, limits=self.limits, isolation=self.isolation)
        before = self._best
        if done.validation is not None:
            self._best = max(before, min(done.validation.skill, 1.0))
        info: dict[str, Any] = {"cost": cost_of(done), "success": done.verdict is Verdict.OK}
        if done.hidden is not None:
            info["hidden"] = {"score": done.hidden.score, "skill": done.hidden.skill}
        return self._observed(done), self._best - before, False, False, info

    def _observed(self, done: Attempt) -> dict[str, Any]:
        said = f"{done.output}\n{done.error}".strip()
        output = "".join(character if character in _CHARACTERS else "?" for character in said[-OUTPUT:])
        return {
            "verdict": np.int64(VERDICTS.index(done.verdict)),
            "stage": np.int64(done.stage),
            "scored": np.int64(done.validation is not None),
            "skill": np.array(0.0 if done.validation is None else min(done.validation.skill, 1.0)),
            "best": np.array(self._best),
            "seconds": np.array(done.wall_ms / 1_000),
            "output": output,
        }


def cost_of(done: Attempt) -> dict[str, int]:
    """What an attempt has cost: `milliseconds` by the clock, and `cpu_ms` of processor time."""
    return {"milliseconds": done.wall_ms, "cpu_ms": done.cpu_ms}


def price_of(limits: Limits) -> Cost:
    """What any program costs at most: it may keep every core busy."""
    most = math.ceil(1_000 * limits.seconds) + _SLACK_MS
    return Cost(milliseconds=most, cpu_ms=most * (os.cpu_count() or 1))


def engineering_world(
    task: Task, *, limits: Limits | None = None, isolation: Isolation = Isolation.BUBBLEWRAP
) -> World:
    """The world of a task. A program that does not compile costs nothing, and is not run."""
    env = EngineeringEnv(task, limits=limits, isolation=isolation)
    most = price_of(env.limits)

    def price(action: Any) -> Cost:
        return Cost() if check(action) else most

    return World(env, price, name=f"ml_engineering/{task.name}", unit="step").with_horizon(1_000)


def make(name: str, **options: Any) -> World:
    """The world of a task that ships with the library, or of a folder.

    Raises:
        ConfigError: there is no such task.
    """
    return engineering_world(find_task(name), **options)
