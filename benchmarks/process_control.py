"""How far the agent is from the best controller after twenty paid episodes of process control.

    python -m benchmarks.process_control --seeds 0 1 2

A run of `--episodes` episodes' steps, as anybody's would be; its agent then acts in 30 further episodes, and so does
a random controller. `oracle` knows the process, the start and the target, and optimises every input of an episode
(`gedanken.worlds.process_control.oracle`). Results go to science.csv as `process_control`, metrics:

- `return`, `oracle`, `random`: mean returns of the same 30 episodes.
- `gap`: oracle minus return, in percent of oracle minus random.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from gedanken.agents.contract import Agent, begin_episode
from gedanken.experience.cost import Budget
from gedanken.intermediary.config import CheckConfig
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.presets import preset
from gedanken.worlds.process_control import PROCESSES, Process, ProcessEnv, oracle

CLAIM = "process_control"
EVALUATED = range(10_000, 10_030)


@dataclass(frozen=True)
class Args:
    """The gap to the best controller."""

    worlds: tuple[str, ...] = ("stirred_tank", "four_tanks")
    seeds: tuple[int, ...] = (0, 1, 2)
    episodes: int = 20


def main(args: Args) -> None:
    """Writes the figures of one run a seed, as soon as they are there."""
    results = Results("science")
    for name in args.worlds:
        process = PROCESSES[name]()
        best = float(oracle(process, list(EVALUATED)).mean())
        chance = float(np.mean([episode(process, None, seed) for seed in EVALUATED]))
        for seed in args.seeds:
            began = time.perf_counter()
            world = f"process_control/{name}"
            steps = args.episodes * process.steps
            folder = Path("runs/benchmarks") / f"process-{name}-{steps}-seed{seed}"
            config = replace(preset(world), check=CheckConfig(episodes=0))
            with Intermediary(world, budget=Budget(steps=steps), seed=seed, folder=folder, config=config) as between:
                while between.round():
                    pass
                agent = between.agent
                seconds = time.perf_counter() - began
                mean = float(np.mean([episode(process, agent, each) for each in EVALUATED]))
            gap = 100.0 * (best - mean) / (best - chance)
            figures = [
                Figure(steps, "return", mean, seconds),
                Figure(steps, "oracle", best, 0.0),
                Figure(steps, "random", chance, 0.0),
                Figure(steps, "gap", gap, seconds),
            ]
            results.put(claim=CLAIM, world=name, method="gedanken", seed=seed, figures=figures)
            print(
                f"{name} seed {seed}: {mean:.2f}, oracle {best:.2f}, random {chance:.1f}, gap {gap:.1f} %", flush=True
            )
    results.put_machine()


def episode(process: Process, agent: Agent | None, seed: int) -> float:
    """The return of one episode; without an agent, inputs are random."""
    env = ProcessEnv(process)
    observation, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    if agent is not None:
        begin_episode(agent)
    total = 0.0
    for _ in range(process.steps):
        action = rng.uniform(-1, 1, env.action_space.shape) if agent is None else agent.act(observation)
        observation, reward, *_ = env.step(action)
        total += reward
    return total


if __name__ == "__main__":
    main(tyro.cli(Args))
