"""Whether earlier campaigns save experiments: sister reactions, and the same turned upside down.

    python -m benchmarks.science_transfer --seeds 20

Each target is a measured table, its sisters the tables of the same reaction with other substrates (Suzuki couplings of
Reizman, C-N couplings of Baumgartner) or materials (organic solar cells); where their levels or bounds differ, the
design space is widened to all of them. Of each sister, 40 experiments by chance are known. Nothing of the target is
known at first, and every experiment on it counts, up to a hundred, until one of its best hundredth was measured. What
sisters agree about is what is good and hardly what is best, so it is counted as well when one of the best twentieth and
the best tenth was.

- `cold`: without the sisters. `sisters`: with them. `misleading`: with their outcomes turned upside down.

Results go to science.csv as `transfer`, metrics `experiments_1`, `experiments_5` and `experiments_10`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from benchmarks.science import MOST, goal
from gedanken.agents.experimenter import Bayesian, Earlier
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Continuous, Integer, Parameter
from gedanken.worlds.science.table import MeasuredTable, shipped
from gedanken.worlds.science.trials import Trial, TrialState

CLAIM = "transfer"
KNOWN = 40
FAMILIES = (
    ("reizman_suzuki_1", "reizman_suzuki_2", "reizman_suzuki_3", "reizman_suzuki_4"),
    ("baumgartner_aniline", "baumgartner_benzamide"),
    ("photo_wf3", "photo_pce10"),
)
METHODS = ("cold", "sisters", "misleading")


@dataclass(frozen=True)
class Args:
    """Experiments to one of the best with and without sister campaigns."""

    targets: tuple[str, ...] = tuple(itertools.chain.from_iterable(FAMILIES))
    methods: tuple[str, ...] = METHODS
    seeds: int = 20
    parallel: int = 1
    """Campaigns at a time, each on one thread."""


def main(args: Args) -> None:
    """Writes each campaign as soon as it is over."""
    results = Results("science")
    todo = list(itertools.product(args.targets, args.methods, range(args.seeds)))
    with ProcessPoolExecutor(args.parallel) as pool:
        for (world, method, seed), counts in zip(todo, pool.map(campaign, *zip(*todo, strict=True)), strict=True):
            figures = [Figure(count, f"experiments_{percent}", count, 0) for percent, count in counts.items()]
            results.put(claim=CLAIM, world=world, method=method, seed=seed, figures=figures)
            print(f"{world} {method} seed {seed}: {counts}", flush=True)
    results.put_machine()


def campaign(target: str, method: str, seed: int) -> dict[int, int]:
    """Plays one campaign: percent of the pool -> how many experiments it took to one of these best."""
    family = next(family for family in FAMILIES if target in family)
    tables = widened([shipped(name) for name in family])
    table, rng = tables.pop(target), np.random.default_rng(seed)
    objective, goals = table.objectives[0], {percent: goal(table, percent) for percent in (1, 5, 10)}
    earlier = (
        () if method == "cold" else tuple(known(t, rng, upside_down=method == "misleading") for t in tables.values())
    )
    planner = Bayesian(earlier=earlier)
    replicates = list(table.replicates.values())
    outcomes = [float(table.results[rng.choice(rows), 0]) for rows in replicates]
    where = {table.place(design): number for number, design in enumerate(table.pool)}
    trials: list[Trial] = []
    found: dict[int, int] = {}
    while len(trials) < min(MOST, len(table.pool)):
        seeded = 1_000 * seed + len(trials)
        said = planner.suggest(table.space, table.objectives[:1], trials, pool=table.pool, seed=seeded)[0]
        i = where[table.place(said.design)]
        trials.append(Trial(str(i), said.design, TrialState.COMPLETED, {objective.name: outcomes[i]}))
        found |= {percent: len(trials) for percent, best in goals.items() if i in best and percent not in found}
        if 1 in found:
            break
    return {percent: found.get(percent, len(trials) + 1) for percent in goals}


def known(table: MeasuredTable, rng: np.random.Generator, *, upside_down: bool) -> Earlier:
    """Some of a sister's experiments, told under the target's name of the objective."""
    rows = rng.choice(len(table.designs), min(KNOWN, len(table.designs)), replace=False)
    values = table.results[:, 0]
    told = 2 * values.mean() - values if upside_down else values
    name = table.objectives[0].name
    return Earlier(tuple(Trial(str(i), table.designs[i], TrialState.COMPLETED, {name: float(told[i])}) for i in rows))


def widened(tables: Sequence[MeasuredTable]) -> dict[str, MeasuredTable]:
    """The tables over one design space that holds all of them."""
    columns = zip(*(table.space.parameters for table in tables), strict=True)
    space = DesignSpace(tuple(_union(column) for column in columns))
    names = space.names
    found: dict[str, MeasuredTable] = {}
    for table in tables:
        renamed: list[Mapping[str, object]] = [
            dict(zip(names, design.values(), strict=True)) for design in table.designs
        ]
        objectives = (replace(table.objectives[0], name=tables[0].objectives[0].name), *table.objectives[1:])
        designs = tuple(space.checked(design) for design in renamed)
        found[table.name] = replace(table, space=space, objectives=objectives, designs=designs)
    return found


def _union(parameters: Sequence[Parameter]) -> Parameter:
    first = parameters[0]
    if isinstance(first, Categorical):
        levels = {level: None for p in parameters if isinstance(p, Categorical) for level in p.levels}
        return Categorical(first.name, tuple(levels))
    numbers = [p for p in parameters if not isinstance(p, Categorical)]
    low, high = min(p.low for p in numbers), max(p.high for p in numbers)
    if all(isinstance(p, Integer) for p in numbers):
        return Integer(first.name, int(low), int(high), first.unit)
    return Continuous(first.name, low, high, first.unit)


if __name__ == "__main__":
    main(tyro.cli(Args))
