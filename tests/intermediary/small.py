"""Whole runs that take a second: tiny networks, tiny budgets, a linear world."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.agents.icem import ICEMConfig
from gedanken.agents.sac import SACConfig
from gedanken.agents.value_gradient import ValueGradientConfig
from gedanken.errors import Interrupted
from gedanken.experience.store import Experience
from gedanken.intermediary.config import CheckConfig, CollectConfig, RunConfig
from gedanken.intermediary.gating import GateConfig
from gedanken.intermediary.limits import Limits
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.run import Run
from gedanken.intermediary.stages import Status
from gedanken.models.ensemble import EnsembleConfig
from gedanken.models.fitting import FitConfig
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator

HORIZON = 12
NAME = "Linear"
LEARNING = {"width": 8, "depth": 1, "critics": 1, "batch": 16, "chunk": 5}
CHECKED: dict[str, Any] = {"check": CheckConfig(episodes=2, imagined=4, branches=0)}
COLLECTING: dict[str, Any] = {"mode": "off"}  # with an agent of one's own: nothing is fitted, nothing is learned


def small(**changes: Any) -> RunConfig:
    """Three rounds of 20 steps, without a check; `changes` replace whole fields."""
    config = RunConfig(
        world=NAME,
        budget={"steps": 60},
        truncation="none",
        updates_per_step=0.25,
        collect=CollectConfig(warmup=20, warmup_horizon=7, steps=20, held_out=0.3),
        model=EnsembleConfig(members=2, width=8, depth=1, reward_width=8, reward_depth=1),
        fit=FitConfig(batch=16, chunk=5, least=5, most=10),
        value_gradient=ValueGradientConfig(
            **LEARNING, horizon=2, distribution_horizon=3, distribution_starts=16, pool=64
        ),
        sac=SACConfig(**LEARNING, horizon=2, starts=16, buffer=64),
        icem=ICEMConfig(horizon=3, candidates=8, elites=2, iterations=1),
        gate=GateConfig(limits=Limits(least_confidence=None), horizon=2, samples=4, alternatives=2),
        check=CheckConfig(episodes=0, imagined=4),
    )
    return replace(config, **changes)


def linear(model: AnalyticModel | None = None, *, discrete: bool = False, horizon: int = HORIZON) -> World:
    if model is None and not discrete:
        model = double_integrator(noise=0.01)
    return World(AnalyticEnv(model, discrete=discrete), {"steps": 1}, name=NAME).with_horizon(horizon)


class Faulty(AnalyticEnv):
    """Gives `fault(answer)` for its step number `at`, counted over all episodes from 1; 0 is its first reset."""

    def __init__(self, at: int, fault: Callable[[tuple[Any, ...]], Any], **options: Any) -> None:
        super().__init__(double_integrator(noise=0.01), **options)
        self.at, self.fault, self.count = at, fault, 0

    def reset(self, **options: Any) -> Any:
        answer = super().reset(**options)
        return self.fault(answer) if self.at == self.count == 0 else answer

    def step(self, action: Any) -> Any:
        answer = super().step(action)
        self.count += 1
        return self.fault(answer) if self.count == self.at else answer


class Rooms(gym.Env[Any, Any]):
    """Five rooms in a row, observed by number; left or right; 1 a step in the last room."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = gym.spaces.Discrete(5), gym.spaces.Discrete(2)
        self.room = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.room = int(self.np_random.integers(5))
        return np.int64(self.room), {}

    def step(self, action: Any) -> Any:
        self.room = int(np.clip(self.room + (1 if action == 1 else -1), 0, 4))
        return np.int64(self.room), float(self.room == 4), False, False, {}


class StopAt:
    """A watch that interrupts at the `count`-th report of a stage."""

    def __init__(self, stage: str, count: int = 1) -> None:
        self.stage, self.left = stage, count

    def __call__(self, status: Status) -> None:
        self.left -= status.stage == self.stage
        if self.left == 0:
            raise Interrupted("Stopped here.")


def result_of(folder: Path) -> dict[str, Any]:
    """result.json without what names the folder or the clock."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return {name: value for name, value in result.items() if name not in ("seconds", "run", "report")}


def parameters(folder: Path) -> list[str]:
    """The names of the files that hold the tensors of a run: hashes of what is in them."""
    parts = ("checkpoint", "model", "agent")
    return sorted(f"{part}/{path.name}" for part in parts for path in (folder / part).glob("tensors-*"))


def metrics_of(folder: Path) -> list[list[str]]:
    """metrics.csv without the column of seconds."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return [row[:3] + row[4:] for row in rows]


def charged(run: Run, account: str = "learn") -> int:
    return run.paid(account)["steps"]


def push(observation: Any) -> np.ndarray:
    """A policy of the user's own."""
    return np.clip(-observation[:1] - observation[1:], -2.0, 2.0).astype(np.float32)


def between(folder: Path, world: World | None = None, *, acting: Any = None, **changes: Any) -> Intermediary:
    return Intermediary(world or linear(), config=small(**changes), agent=acting, folder=folder)


def rows_of(folder: Path, account: str) -> Any:
    return Experience.open(folder / "experience").arrays(account=account)
