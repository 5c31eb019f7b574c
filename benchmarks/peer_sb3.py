"""Stable-Baselines3 and SBX, to compare with: learning curves of SAC, and its updates a second beside ours.

    python -m benchmarks.peer_sb3 curve --world Hopper-v5 --steps 50000 --seeds 0 1 2
    python -m benchmarks.peer_sb3 updates

The peers run in .venv-peers, which this makes if it is missing. Results go to learning.csv (metric `return`: the mean
of whole evaluation episodes) and updates.csv.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import tyro

from benchmarks.peers.process import in_turn, install, lines, side_by_side
from benchmarks.results import Figure, Results

METHODS = {"default": "sb3-sac", "zoo": "sb3-sac-zoo"}
SIZES = ((256, 256), (128, 128))
"""Width of the two hidden layers, and batch."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of Stable-Baselines3's SAC."""

    world: str
    """Gymnasium id."""
    steps: int = 50_000
    """Paid steps of each seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    variant: Literal["default", "zoo"] = "default"
    """default: the library's hyperparameters; zoo: the learning rate that rl-baselines3-zoo gives for Pendulum-v1."""
    every: int = 1_000
    """Paid steps between two points."""
    episodes: int = 10
    """Of one evaluation; they are not paid for."""
    parallel: int = 1
    """Seeds at a time."""


@dataclass(frozen=True)
class Updates:
    """SAC updates a second of Gedanken, Stable-Baselines3 and SBX, one thread, at the sizes of HalfCheetah-v5."""

    updates: int = 300
    """In one repeat."""
    repeats: int = 5


def curve(config: Curve) -> None:
    """Writes one learning curve a seed, once it is complete."""
    results = Results("learning")

    def learn(seed: int) -> None:
        options = {"world": config.world, "seed": seed, "steps": config.steps, "variant": config.variant}
        options |= {"every": config.every, "episodes": config.episodes}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        points = lines(".venv-peers", "benchmarks.peers.sb3_sac", *arguments)
        figures = [Figure(p["paid"], "return", statistics.fmean(p["returns"]), p["seconds"]) for p in points]
        results.put(
            claim="sample_efficiency",
            world=config.world,
            method=METHODS[config.variant],
            seed=seed,
            figures=figures,
        )

    side_by_side(learn, config.seeds, config.parallel)
    results.put_machine()


def updates(config: Updates) -> None:
    """Writes a figure a repeat of each method, in turn; `sbx` makes many updates in a call, `sbx-default` one."""
    results = Results("updates")
    fused = min(100, config.updates)
    figures: dict[tuple[str, int], list[Figure]] = {}
    for width, batch in SIZES:
        sizes = ("--width", width, "--batch", batch, "--updates", config.updates)
        methods = {
            "gedanken": (".venv", "benchmarks.peers.gedanken_updates", sizes),
            "sb3": (".venv-peers", "benchmarks.peers.sb3_updates", sizes),
            "sbx": (".venv-peers", "benchmarks.peers.sbx_updates", ("--fused", fused, *sizes)),
            "sbx-default": (".venv-peers", "benchmarks.peers.sbx_updates", ("--fused", 1, *sizes)),
        }
        for method, line in in_turn(methods, config.repeats):
            figure = Figure(
                0, f"updates_per_second_2x{width}_batch{batch}", line["updates_per_second"], line["seconds"]
            )
            figures.setdefault((method, line["repeat"]), []).append(figure)
    for (method, repeat), found in figures.items():
        results.put(claim="agent_updates", world="HalfCheetah-v5", method=method, seed=repeat, figures=found)
    results.put_machine()


def main(config: Curve | Updates) -> None:
    install()
    curve(config) if isinstance(config, Curve) else updates(config)


if __name__ == "__main__":
    main(tyro.cli(Curve | Updates))
