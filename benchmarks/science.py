"""How many experiments until one of the best is measured, on real tables of experiments.

    python -m benchmarks.science --seeds 20 --parallel 2

Each world is a table of `gedanken.worlds.science`, its pool the designs that were measured, its goal one of the best
hundredth of them (by the mean over replicates; of fewer than a hundred designs, the best one). Every method begins with
the same five random experiments of a seed, which count, and gives up after a hundred or when the pool is empty (which
counts as one more). Results go to science.csv:

- `experiments`: until the goal. `random` is computed, not played: the median over 10,000 orders of the pool, as seed 0.
- `inside_90` and `forecasts`: how many of a campaign's forecasts held what came, of how many.
- `seconds_per_suggestion`: mean over a campaign.

Methods: `gedanken` is the planner as it ships; `gedanken-permuted` the same, told the outcomes of other experiments
(a planner that does as well then learns nothing from them); `log-ei` the likeliest Gaussian process with a length scale
a parameter, planned by LogEI; `gp-ei` the same with one length scale for all. Settings were chosen on fullerenes, snar,
colors_n9 and reizman_suzuki_1 with other seeds.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from gedanken.agents.experimenter import Bayesian, Planner
from gedanken.models.gaussian_process import GaussianProcessConfig
from gedanken.worlds.science.table import MeasuredTable, catalogue, shipped
from gedanken.worlds.science.trials import Trial, TrialState

CLAIM = "experiments_to_the_best"
START, MOST = 5, 100

PLANNERS: Mapping[str, Planner] = {
    "gedanken": Bayesian(),
    "gedanken-permuted": Bayesian(),
    "log-ei": Bayesian(acquisition="expected", model=GaussianProcessConfig(scales=("each",), draws=1)),
    "gp-ei": Bayesian(acquisition="expected", model=GaussianProcessConfig(scales=("shared",), draws=1)),
}


@dataclass(frozen=True)
class Args:
    """Experiments until one of the best, by world and planner."""

    worlds: tuple[str, ...] = tuple(catalogue())
    methods: tuple[str, ...] = tuple(PLANNERS)
    seeds: int = 20
    first_seed: int = 0
    parallel: int = 1
    """Campaigns at a time, each on one thread."""


def main(args: Args) -> None:
    """Writes each campaign as soon as it is over."""
    results = Results("science")
    for world in args.worlds:
        results.put(claim=CLAIM, world=world, method="random", seed=0, figures=[by_chance(shipped(world))])
    todo = list(itertools.product(args.worlds, args.methods, range(args.first_seed, args.first_seed + args.seeds)))
    with ProcessPoolExecutor(args.parallel) as pool:
        for (world, method, seed), figures in zip(todo, pool.map(campaign, *zip(*todo, strict=True)), strict=True):
            results.put(claim=CLAIM, world=world, method=method, seed=seed, figures=figures)
            print(f"{world} {method} seed {seed}: {figures[0].value:.0f} experiments", flush=True)
    results.put_machine()


def campaign(world: str, method: str, seed: int) -> list[Figure]:
    """Plays one campaign to its goal."""
    table, planner = shipped(world), PLANNERS[method]
    objective, rng = table.objectives[0], np.random.default_rng(seed)
    best = goal(table)
    replicates = list(table.replicates.values())
    outcomes = [float(table.results[rng.choice(rows), 0]) for rows in replicates]
    start = rng.choice(len(table.pool), START, replace=False)
    told = list(rng.permutation(outcomes)) if method.endswith("permuted") else outcomes
    where = {table.place(design): number for number, design in enumerate(table.pool)}
    trials = [Trial(str(i), table.pool[i], TrialState.COMPLETED, {objective.name: told[i]}) for i in start]
    reached = next((number for number, i in enumerate(start, 1) if i in best), None)
    took, inside = [], []
    while reached is None and len(trials) < min(MOST, len(table.pool)):
        began = time.perf_counter()
        said = planner.suggest(table.space, table.objectives, trials, pool=table.pool, seed=1_000 * seed + len(trials))[
            0
        ]
        took.append(time.perf_counter() - began)
        i = where[table.place(said.design)]
        forecast = said.forecasts[objective.name]
        inside.append(forecast.low <= told[i] <= forecast.high)
        trials.append(Trial(str(i), said.design, TrialState.COMPLETED, {objective.name: told[i]}))
        reached = len(trials) if i in best else None
    count = reached if reached is not None else len(trials) + 1
    figures = [Figure(count, "experiments", count, sum(took))]
    if took:
        figures += [
            Figure(count, "inside_90", sum(inside), sum(took)),
            Figure(count, "forecasts", len(inside), sum(took)),
            Figure(count, "seconds_per_suggestion", statistics.fmean(took), sum(took)),
        ]
    return figures


def goal(table: MeasuredTable, percent: int = 1) -> set[int]:
    """The best designs of the pool, so many percent of it and at least one."""
    value = table.objectives[0].sign * table.mean()
    return set(np.argsort(-value)[: max(1, int(np.ceil(percent / 100 * len(value))))].tolist())


def by_chance(table: MeasuredTable) -> Figure:
    """The median number of experiments, in random order, to the goal."""
    rng, best = np.random.default_rng(0), len(goal(table))
    counts = [int(rng.permutation(len(table.pool))[:best].min()) + 1 for _ in range(10_000)]
    return Figure(0, "experiments", statistics.median(counts), 0.0)


if __name__ == "__main__":
    main(tyro.cli(Args))
