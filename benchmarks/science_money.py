"""What it costs to reach 95 % of the best yield of a priced reaction, with and without counting costs.

    python -m benchmarks.science_money --seeds 40

- `baumgartner_aniline`: the C-N coupling of aniline as it was measured, its reagents priced in USD
  (`gedanken.worlds.science.priced`).
- `coupling_1` to `coupling_5`: reactions computed from their kinetics over a pool of 500 designs, paid for in hours of
  the reactor (`gedanken.worlds.science.kinetics`), of which one experiment takes ten times another's.

Every campaign of a seed begins with the same five random experiments, which are paid for as well.

- `thrifty`: the planner as it ships, its merit divided by the price. `cost-blind`: the same without prices. `log-ei`:
  the likeliest Gaussian process with a length scale a parameter, planned by LogEI, without prices. `random`.

Results go to science.csv as `money`, metrics `usd` or `hours`, and `experiments`.
"""

from __future__ import annotations

import functools
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
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.kinetics import REACTIONS, ReactionEnv
from gedanken.worlds.science.priced import aniline_coupling
from gedanken.worlds.science.table import shipped
from gedanken.worlds.science.trials import Objective, Trial, TrialState

CLAIM = "money"
SHARE = 0.95
POOL, NOISE = 500, 0.01
TABLE = "baumgartner_aniline"
WORLDS = (TABLE, *(f"coupling_{case}" for case in range(1, 6)))
PLANNERS: Mapping[str, Planner] = {
    "thrifty": Bayesian(thrift=1.0),
    "cost-blind": Bayesian(),
    "log-ei": Bayesian(acquisition="expected", explore=False, model=GaussianProcessConfig(scales=("each",), draws=1)),
    "random": Random(),
}


@dataclass(frozen=True)
class Args:
    """Money to 95 % of the best yield."""

    worlds: tuple[str, ...] = WORLDS
    methods: tuple[str, ...] = tuple(PLANNERS)
    seeds: int = 40


@dataclass(frozen=True)
class Priced:
    """Designs, what each is worth, and what each costs: `minor` units of `resource`, of which `per` make a unit.

    measured: a design's number -> what its replicates measured; None where measurements are computed.
    """

    space: DesignSpace
    objective: Objective
    pool: tuple[Design, ...]
    worth: np.ndarray
    minor: tuple[int, ...]
    resource: str
    unit: str
    per: float
    measured: tuple[np.ndarray, ...] | None = None

    def measure(self, number: int, rng: np.random.Generator) -> float:
        """One measurement."""
        if self.measured is not None:
            return float(rng.choice(self.measured[number]))
        return float(self.worth[number] * (1.0 + NOISE * rng.standard_normal()))


@functools.cache
def priced(world: str) -> Priced:
    """The designs of a world and their prices; yields are the means of replicates, or true."""
    if world == TABLE:
        table = shipped(world)
        minor = tuple(aniline_coupling(design)["micro_usd"] for design in table.pool)
        measured = tuple(table.results[rows, 0] for rows in table.replicates.values())
        worth = np.array([float(values.mean()) for values in measured])
        return Priced(table.space, table.objectives[0], table.pool, worth, minor, "micro_usd", "usd", 1e6, measured)
    reaction = REACTIONS[world]()
    env, pool = ReactionEnv(reaction, noise=0.0), tuple(reaction.space.draw(POOL, seed=0))
    worth = np.array([float(env.truth(design)[0]) for design in pool])
    minor = tuple(round(1_000 * reaction.seconds(design)) for design in pool)
    return Priced(reaction.space, reaction.objectives[0], pool, worth, minor, "reaction_ms", "hours", 3.6e6)


def main(args: Args) -> None:
    """Writes each campaign as soon as it is over."""
    results = Results("science")
    for world, method, seed in itertools.product(args.worlds, args.methods, range(args.seeds)):
        unit = priced(world).unit
        amount, count = campaign(world, method, seed)
        figures = [Figure(count, unit, amount, 0.0), Figure(count, "experiments", count, 0.0)]
        results.put(claim=CLAIM, world=world, method=method, seed=seed, figures=figures)
        print(f"{world} {method} seed {seed}: {amount:.2f} {unit}, {count} experiments", flush=True)
    results.put_machine()


def campaign(world: str, method: str, seed: int) -> tuple[float, int]:
    """Plays one campaign to its goal, or to the pool's end: money or time, and experiments."""
    found, planner = priced(world), PLANNERS[method]
    name, best = found.objective.name, SHARE * float(found.worth.max())
    where = {str(design): number for number, design in enumerate(found.pool)}
    first = np.random.default_rng(seed).choice(len(found.pool), START, replace=False)
    noise = np.random.default_rng([seed, 1])
    trials: list[Trial] = []
    spent = 0
    while len(trials) < len(found.pool):
        if len(trials) < START:
            i = int(first[len(trials)])
        else:
            said = planner.suggest(
                found.space,
                [found.objective],
                trials,
                pool=found.pool,
                price=lambda design: Cost({found.resource: found.minor[where[str(design)]]}),
                seed=1_000 * seed + len(trials),
            )
            i = where[str(said[0].design)]
        spent += found.minor[i]
        trials.append(Trial(str(i), found.pool[i], TrialState.COMPLETED, {name: found.measure(i, noise)}))
        if found.worth[i] >= best:
            break
    return spent / found.per, len(trials)


if __name__ == "__main__":
    main(tyro.cli(Args))
