"""What it costs to reach 95 % of the best yield of a priced reaction, with and without counting costs.

    python -m benchmarks.science_money --seeds 40

The C-N coupling of aniline, its reagents priced (`gedanken.worlds.science.priced`): USD until 95 % of the best measured
yield. Every campaign of a seed begins with the same five random experiments, which are paid for as well.

- `thrifty`: the planner as it ships, its merit divided by the price. `cost-blind`: the same without prices. `log-ei`:
  the likeliest Gaussian process with a length scale a parameter, planned by LogEI, without prices. `random`.

Results go to science.csv as `money`, metrics `usd` and `experiments`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from benchmarks.science import START
from gedanken.agents.experimenter import Bayesian, Planner, Random
from gedanken.experience.cost import Cost
from gedanken.models.gaussian_process import GaussianProcessConfig
from gedanken.worlds.science.priced import aniline_coupling
from gedanken.worlds.science.table import shipped
from gedanken.worlds.science.trials import Trial, TrialState

CLAIM, WORLD = "money", "baumgartner_aniline"
SHARE = 0.95
PLANNERS: Mapping[str, Planner] = {
    "thrifty": Bayesian(thrift=1.0),
    "cost-blind": Bayesian(),
    "log-ei": Bayesian(acquisition="expected", explore=False, model=GaussianProcessConfig(scales=("each",), draws=1)),
    "random": Random(),
}


@dataclass(frozen=True)
class Args:
    """Money to 95 % of the best yield."""

    methods: tuple[str, ...] = tuple(PLANNERS)
    seeds: int = 40


def main(args: Args) -> None:
    """Writes each campaign as soon as it is over."""
    results = Results("science")
    for method, seed in itertools.product(args.methods, range(args.seeds)):
        usd, count = campaign(method, seed)
        figures = [Figure(count, "usd", usd, 0.0), Figure(count, "experiments", count, 0.0)]
        results.put(claim=CLAIM, world=WORLD, method=method, seed=seed, figures=figures)
        print(f"{method} seed {seed}: {usd:.2f} USD, {count} experiments", flush=True)
    results.put_machine()


def campaign(method: str, seed: int) -> tuple[float, int]:
    """Plays one campaign to its goal, or to the pool's end: USD and experiments."""
    table, rng, planner = shipped(WORLD), np.random.default_rng(seed), PLANNERS[method]
    best = SHARE * float(table.mean().max())
    name = table.objectives[0].name
    outcomes = [float(table.results[rng.choice(rows), 0]) for rows in table.replicates.values()]
    where = {table.place(design): number for number, design in enumerate(table.pool)}
    first = list(rng.choice(len(table.pool), START, replace=False))
    trials: list[Trial] = []
    usd = 0.0
    while len(trials) < len(table.pool):
        if len(trials) < START:
            i = int(first[len(trials)])
        else:
            said = planner.suggest(
                table.space,
                table.objectives,
                trials,
                pool=table.pool,
                price=lambda design: Cost(micro_usd=aniline_coupling(design)["micro_usd"]),
                seed=1_000 * seed + len(trials),
            )
            i = where[table.place(said[0].design)]
        usd += aniline_coupling(table.pool[i])["micro_usd"] / 1e6
        trials.append(Trial(str(i), table.pool[i], TrialState.COMPLETED, {name: outcomes[i]}))
        if outcomes[i] >= best:
            break
    return usd, len(trials)


if __name__ == "__main__":
    main(tyro.cli(Args))
