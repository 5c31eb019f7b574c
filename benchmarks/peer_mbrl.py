"""mbrl-lib, to compare with: learning curves of its MBPO, and the transitions its `ModelEnv` imagines a second.

    python -m benchmarks.peer_mbrl curve --world Pendulum-v1 --steps 3000 --seeds 0 1 2
    python -m benchmarks.peer_mbrl imagine

It runs in .venv-mbrl, which this makes if it is missing. Results go to learning.csv (metric `return`: the mean of whole
evaluation episodes) and imagination.csv.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import tyro

from benchmarks.peers.process import install, lines, side_by_side
from benchmarks.results import Figure, Results, here


@dataclass(frozen=True)
class Curve:
    """The learning curve of mbrl-lib's MBPO, with the hyperparameters it ships for InvertedPendulum."""

    world: Literal["InvertedPendulum-v5", "Pendulum-v1"]
    """Gymnasium id."""
    steps: int = 3_000
    """Paid steps of each seed, 500 of exploration included."""
    seeds: tuple[int, ...] = (0, 1, 2)
    episodes: int = 10
    """Of one evaluation; they are not paid for."""
    parallel: int = 1
    """Seeds at a time."""


@dataclass(frozen=True)
class Imagine:
    """Transitions a second of mbrl-lib's `ModelEnv`: 5 members of 4x200, at the sizes of HalfCheetah-v5."""

    threads: tuple[int, ...] = (1, 2)
    batches: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    repeats: int = 5
    seconds: float = 2.0
    """About how long one repeat takes."""


def curve(config: Curve) -> None:
    """Writes one learning curve a seed, once it is complete."""
    results = Results("learning")

    def learn(seed: int) -> None:
        options = {"world": config.world, "seed": seed, "steps": config.steps, "episodes": config.episodes}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        points = lines(".venv-mbrl", "benchmarks.peers.mbrl_mbpo", *arguments)
        figures = [Figure(p["paid"], "return", statistics.fmean(p["returns"]), p["seconds"]) for p in points]
        results.put(claim="sample_efficiency", world=config.world, method="mbrl-mbpo", seed=seed, figures=figures)

    side_by_side(learn, config.seeds, config.parallel)
    results.put_machine()


def imagine(config: Imagine) -> None:
    """Writes one figure a batch, a repeat and a number of threads."""
    results = Results("imagination")
    for threads in config.threads:
        options = ("--threads", threads, "--repeats", config.repeats, "--seconds", config.seconds, "--batches")
        method = f"mbrl-{threads}-thread{'s' * (threads > 1)}"
        figures: dict[int, list[Figure]] = {}
        for line in lines(".venv-mbrl", "benchmarks.peers.mbrl_model_env", *options, *config.batches, threads=threads):
            metric = f"transitions_per_second_batch{line['batch']}"
            figure = Figure(0, metric, line["transitions_per_second"], line["seconds"])
            figures.setdefault(line["repeat"], []).append(figure)
        for repeat, found in figures.items():
            world = here("HalfCheetah-v5")
            results.put(claim="imagined_transitions", world=world, method=method, seed=repeat, figures=found)
    results.put_machine()


def main(config: Curve | Imagine) -> None:
    install()
    curve(config) if isinstance(config, Curve) else imagine(config)


if __name__ == "__main__":
    main(tyro.cli(Curve | Imagine))
