"""Gedanken on one world: its learning curve against paid steps, one JSON line a point.

    .venv/bin/python -m benchmarks.peers.gedanken_learn --world Pendulum-v1 --seed 0 --steps 2000

The settings are the preset of the world. After each round the deterministic policy plays whole episodes in an env of
its own; these are not paid for, and their time does not count. The run is kept in runs/benchmarks/ and goes on where
it was interrupted; the points so far are printed again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import gymnasium as gym

from benchmarks.peers.common import emit, play
from gedanken.experience.cost import Budget
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.presets import preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="paid steps")
    parser.add_argument("--episodes", type=int, default=10, help="of one evaluation")
    parser.add_argument("--agent", default="value_gradient")
    parser.add_argument("--truncation", default="infoprop")
    args = parser.parse_args()

    name = f"{args.world}-{args.agent}-{args.truncation}-{args.steps}-seed{args.seed}"
    folder = Path("runs/benchmarks") / name
    config = dataclasses.replace(preset(args.world), agent=args.agent, truncation=args.truncation)
    judge = gym.make(args.world)
    with Intermediary(
        args.world, budget=Budget(steps=args.steps), seed=args.seed, folder=folder, config=config
    ) as between:
        log = folder / "points.jsonl"
        points = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        for point in points:
            emit(**point)
        seconds = points[-1]["seconds"] if points else 0.0
        while True:
            began = time.perf_counter()
            more = between.round()
            seconds += time.perf_counter() - began
            if not more:
                break
            returns = play(judge, between.agent.act, episodes=args.episodes, seed=10_000 + 100 * args.seed)
            point = {"paid": between.paid["steps"], "returns": returns, "seconds": seconds}
            with log.open("a") as file:
                file.write(json.dumps(point) + "\n")
            emit(**point)


if __name__ == "__main__":
    main()
