"""Gedanken's learning curves: return against paid steps, and against the clock.

    python -m benchmarks.learning --world Pendulum-v1 --steps 2000 --seeds 0 1 2 --parallel 2

Each seed is a process with one thread. Results go to learning.csv (metric `return`: the mean of whole evaluation
episodes), where `benchmarks.peer_sb3 curve` and `benchmarks.peer_mbrl curve` write those of the peers.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import tyro

from benchmarks.peers.process import lines, side_by_side
from benchmarks.results import Figure, Results


@dataclass(frozen=True)
class Args:
    """Gedanken's learning curve on one world."""

    world: str
    """Gymnasium id."""
    steps: int
    """Paid steps of each seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    agent: Literal["value_gradient", "sac"] = "value_gradient"
    truncation: Literal["infoprop", "mopo", "morel", "none"] = "infoprop"
    episodes: int = 10
    """Of one evaluation; they are not paid for."""
    parallel: int = 1
    """Seeds at a time."""


def main(args: Args) -> None:
    """Writes one learning curve a seed, once it is complete."""
    results = Results("learning")
    default = args.agent == "value_gradient" and args.truncation == "infoprop"
    method = "gedanken" if default else f"gedanken-{args.agent}-{args.truncation}"

    def learn(seed: int) -> None:
        options = {"world": args.world, "seed": seed, "steps": args.steps, "episodes": args.episodes}
        options |= {"agent": args.agent, "truncation": args.truncation}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        points = lines(".venv", "benchmarks.peers.gedanken_learn", *arguments)
        figures = [Figure(p["paid"], "return", statistics.fmean(p["returns"]), p["seconds"]) for p in points]
        results.put(claim="sample_efficiency", world=args.world, method=method, seed=seed, figures=figures)

    side_by_side(learn, args.seeds, args.parallel)
    results.put_machine()


if __name__ == "__main__":
    main(tyro.cli(Args))
