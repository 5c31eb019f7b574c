"""Learning where real rewards are dear: a tenth of them as anchors, against all of them and against none.

    python -m benchmarks.evidence_anchors --seeds 0 1 2

Pendulum-v1, whose steps bring a cheap reward that is wrong on purpose; the real one is sold apart. `bent`: a monotone,
non-affine function of the real reward, under which it pays to hang and not to swing. `biased`: a bonus for hanging.

- `model-only` learns its reward model from the cheap rewards, and buys nothing.
- `anchored` does the same, and recalibrates it by the real rewards of a share of the steps, paid through a ledger.
- `real-only` pays for the real reward of every step.

Everything else is the same: world, steps, model, agent, seed. Results go to evidence.csv; `return` is the real one of
the final deterministic policy, over episodes that are not paid for; `reward_cost` is the share of the rewards paid for.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import gymnasium as gym
import numpy as np
import tyro

from benchmarks.peers.common import play
from benchmarks.results import Figure, Results
from gedanken.compute import enable_compilation_cache
from gedanken.experience.cost import Budget
from gedanken.intermediary import stages
from gedanken.intermediary.anchoring import Anchoring
from gedanken.intermediary.anchors import AnchorsConfig
from gedanken.intermediary.config import CheckConfig
from gedanken.intermediary.presets import preset
from gedanken.intermediary.run import Run
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.world import World

WORLD, ACCOUNT = "Pendulum-v1", "rewards"
Method = Literal["model-only", "anchored", "real-only"]
_ANCHOR = 8  # first number of the path that keys of anchors are derived by


def bent(reward: float, _: np.ndarray) -> float:
    """Monotone: costs below 11 (of hanging at rest: 9.9) hardly count, higher ones (of swinging fast) count tenfold."""
    beyond = np.logaddexp(0.0, 3.0 * (-reward - 11.0)) / 3.0
    return float(0.1 * reward - 10.0 * beyond)


def biased(reward: float, observation: np.ndarray) -> float:
    """Depends on the state: 12 more for hanging straight down, nothing for standing."""
    return float(reward + 12.0 * (0.5 - 0.5 * observation[0]) ** 2)


REWARDS: dict[str, Callable[[float, np.ndarray], float]] = {"bent": bent, "biased": biased}


class SoldApart(gym.Wrapper[Any, Any, Any, Any]):
    """Brings a cheap reward with every step, and keeps the real one until somebody pays."""

    def __init__(self, env: gym.Env[Any, Any], cheap: Callable[[float, np.ndarray], float]) -> None:
        super().__init__(env)
        self.cheap, self._real = cheap, list[float]()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._real.append(float(reward))
        return observation, self.cheap(float(reward), observation), terminated, truncated, info

    def ask(self, steps: Sequence[int]) -> np.ndarray:
        """The real rewards of some of the steps so far."""
        return np.array([self._real[step] for step in steps])


@dataclass(frozen=True)
class Args:
    """Anchored learning against model-only and real-only."""

    steps: int = 1_500
    """Steps of the world in each run."""
    seeds: tuple[int, ...] = (0, 1, 2)
    rewards: tuple[Literal["bent", "biased"], ...] = ("bent", "biased")
    methods: tuple[Method, ...] = ("model-only", "anchored", "real-only")
    floor: float = 0.1
    """Least share of the steps that are anchored."""
    ceiling: float = 0.2
    """Largest share."""
    updates_per_step: float = 3.0
    episodes: int = 20
    """Of the final evaluation; they are not paid for."""
    dry: bool = False
    """Print the figures and write nothing."""


def main(args: Args) -> None:
    """Writes the figures of one run a seed, reward and method, each as soon as it is complete."""
    enable_compilation_cache()
    results = Results("evidence")
    for seed in args.seeds:
        for name in args.rewards:
            for method in args.methods:
                figures = learn(name, method, seed, args)
                print(f"{WORLD} {name} {method} seed {seed}: {figures}", flush=True)
                if not args.dry:
                    results.put(
                        claim="anchors", world=f"{WORLD}, {name} reward", method=method, seed=seed, figures=figures
                    )
    if not args.dry:
        results.put_machine()


def learn(name: str, method: Method, seed: int, args: Args) -> list[Figure]:
    """One run: what it reached, and what its rewards have cost."""
    env = SoldApart(gym.make(WORLD), (lambda reward, _: reward) if method == "real-only" else REWARDS[name])
    config = dataclasses.replace(
        preset(WORLD),
        seed=seed,
        budget={"steps": args.steps},
        updates_per_step=args.updates_per_step,
        check=CheckConfig(episodes=0),
    )
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Run.create(Path(folder) / "run", config, world=World(env, {"steps": 1}, name=WORLD)) as run,
        Ledger.open(
            Path(folder) / "rewards.sqlite", budgets={ACCOUNT: Budget(rewards=args.steps)}, run_id=run.id
        ) as ledger,
    ):
        anchoring = None
        if method == "anchored":
            shares = AnchorsConfig(floor=args.floor, start=args.ceiling, ceiling=args.ceiling)
            anchoring = Anchoring(shares, ask=env.ask, ledger=ledger, account=ACCOUNT, seed=seed)
        while _round(run, anchoring):
            pass
        seconds, paid = time.perf_counter() - began, run.paid()["steps"]
        agent = stages.current_agent(run)
        returns = play(gym.make(WORLD), agent.act, episodes=args.episodes, seed=10_000 + 100 * seed)
        bought = {"model-only": 0, "real-only": paid, "anchored": ledger.balance(ACCOUNT).spent.of("rewards")}[method]
        found = {"return": statistics.fmean(returns), "reward_cost": bought / paid}
        if anchoring is not None and anchoring.recalibration is not None:
            for metric, value in (
                ("reward_error", anchoring.recalibration.error),
                ("reward_error_without", anchoring.recalibration.error_without),
            ):
                found |= {} if value is None else {metric: value}
            for number, decision in enumerate(anchoring.decisions):
                print(f"  round {number}: {'; '.join(decision.reasons)}", flush=True)
    return [Figure(paid, metric, value, seconds) for metric, value in found.items()]


def _round(run: Run, anchoring: Anchoring | None) -> bool:
    """Collect, fit, buy anchors, learn. False when there was nothing left to pay steps with."""
    config, first = run.config.collect, run.counters.round == 0
    stages.collect(
        run,
        steps=config.of_round(run.counters.rows_at_start),
        horizon=config.warmup_horizon if first else config.horizon,
        agent=None if first else stages.current_agent(run),
    )
    new = run.learning_rows - run.counters.rows_at_start
    if new == 0:
        return False
    stages.fit(run)
    inner, table = run.model, run.table
    if anchoring is not None:
        anchoring.buy(inner, table, key=run.key(_ANCHOR, 0, run.counters.round))
        run.model = anchoring.anchored(inner)
        run.table = anchoring.labelled(inner, table, key=run.key(_ANCHOR, 1, run.counters.round))
    stages.learn(run, updates=round(run.config.updates_per_step * new))
    run.model, run.table = inner, table
    run.counters.round += 1
    run.counters.rows_at_start = run.learning_rows
    return True


if __name__ == "__main__":
    main(tyro.cli(Args))
