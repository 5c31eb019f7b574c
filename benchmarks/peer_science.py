"""BoTorch and BayBE on the tables of `benchmarks.science`: the same pools, the same five first experiments.

    .venv-science/bin/python -m benchmarks.peer_science --peers botorch baybe --seeds 5

Runs in an environment of its own (`make install-peers-science`), whose packages it imports. Both choose among designs
of the pool that were not yet measured, with their own defaults:

- `botorch`: `SingleTaskGP`, for tables with choices `MixedSingleTaskGP`, fitted by `fit_gpytorch_mll`; log expected
  improvement (`qLogExpectedImprovement`) by `optimize_acqf_discrete`.
- `baybe`: a `Campaign` with the `BotorchRecommender`.

Results go to science.csv beside Gedanken's: `experiments` until the goal, and `seconds_per_suggestion`.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
import tyro

from benchmarks.results import Figure, Results
from benchmarks.science import CLAIM, MOST, START, goal
from gedanken.worlds.science.table import MeasuredTable, catalogue, shipped

torch.set_num_threads(1)
warnings.filterwarnings("ignore")

Choose = Callable[[list[int], list[float]], int]
"""The pool's designs that were measured, and their outcomes (more is better) -> the next design."""


@dataclass(frozen=True)
class Args:
    """Experiments until one of the best, by world and peer."""

    worlds: tuple[str, ...] = tuple(catalogue())
    peers: tuple[str, ...] = ("botorch", "baybe")
    seeds: int = 5


def main(args: Args) -> None:
    """Writes each campaign as soon as it is over."""
    results = Results("science")
    for world, peer, seed in itertools.product(args.worlds, args.peers, range(args.seeds)):
        figures = campaign(world, peer, seed)
        results.put(claim=CLAIM, world=world, method=peer, seed=seed, figures=figures)
        print(f"{world} {peer} seed {seed}: {figures[0].value:.0f} experiments", flush=True)


def campaign(world: str, peer: str, seed: int) -> list[Figure]:
    """Plays one campaign to its goal; what is drawn is drawn as in `benchmarks.science.campaign`."""
    table, rng = shipped(world), np.random.default_rng(seed)
    torch.manual_seed(seed)
    best, sign = goal(table), table.objectives[0].sign
    outcomes = [sign * float(table.results[rng.choice(rows), 0]) for rows in table.replicates.values()]
    seen = [int(i) for i in rng.choice(len(table.pool), START, replace=False)]
    reached = next((number for number, i in enumerate(seen, 1) if i in best), None)
    choose = {"botorch": botorch_on, "baybe": baybe_on}[peer](table)
    took = []
    while reached is None and len(seen) < min(MOST, len(table.pool)):
        began = time.perf_counter()
        i = choose(seen, [outcomes[j] for j in seen])
        took.append(time.perf_counter() - began)
        seen.append(i)
        reached = len(seen) if i in best else None
    count = reached if reached is not None else len(seen) + 1
    figures = [Figure(count, "experiments", count, sum(took))]
    if took:
        figures.append(Figure(count, "seconds_per_suggestion", statistics.fmean(took), sum(took)))
    return figures


def botorch_on(table: MeasuredTable) -> Choose:
    """Numbers in the unit interval, choices as whole numbers."""
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import MixedSingleTaskGP, SingleTaskGP
    from botorch.optim import optimize_acqf_discrete
    from gpytorch.mlls import ExactMarginalLogLikelihood

    encoded, columns, choices = table.space.encode(table.pool), [], []
    for group in table.space.groups:
        part = encoded[:, group.start : group.stop]
        if group.kind == "category":
            choices.append(len(columns))
            part = part.argmax(1, keepdims=True).astype(np.float64)
        columns.append(part[:, 0])
    pool = torch.tensor(np.stack(columns, 1))

    def choose(seen: list[int], outcomes: list[float]) -> int:
        x, y = pool[seen], torch.tensor(outcomes)[:, None].double()
        model = MixedSingleTaskGP(x, y, cat_dims=choices) if choices else SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        left = [i for i in range(len(pool)) if i not in set(seen)]
        wanted = qLogExpectedImprovement(model, best_f=y.max())
        chosen, _ = optimize_acqf_discrete(wanted, q=1, choices=pool[left])
        return left[int((pool[left] - chosen).abs().sum(1).argmin())]

    return choose


def baybe_on(table: MeasuredTable) -> Choose:
    """A campaign that is told everything anew: BayBE keeps no state that it would lose by that."""
    import pandas as pd
    from baybe import Campaign
    from baybe.parameters import CategoricalParameter, NumericalDiscreteParameter
    from baybe.recommenders import BotorchRecommender
    from baybe.searchspace import SearchSpace
    from baybe.targets import NumericalTarget

    frame = pd.DataFrame([dict(design) for design in table.pool])
    parameters: list[object] = []
    for group in table.space.groups:
        values: Sequence[object] = sorted(set(frame[group.name]))
        if len(values) < 2:
            continue
        if group.kind == "category":
            parameters.append(CategoricalParameter(group.name, values=values, encoding="OHE"))
        else:
            parameters.append(NumericalDiscreteParameter(group.name, values=values))
    frame = frame[[parameter.name for parameter in parameters]]  # type: ignore[attr-defined]
    space = SearchSpace.from_dataframe(frame, parameters=parameters)

    def choose(seen: list[int], outcomes: list[float]) -> int:
        campaign = Campaign(
            space,
            NumericalTarget("outcome").to_objective(),
            recommender=BotorchRecommender(),
            allow_recommending_already_recommended=False,
            allow_recommending_already_measured=False,
        )
        campaign.add_measurements(frame.iloc[seen].assign(outcome=outcomes))
        return int(campaign.recommend(batch_size=1).index[0])

    return choose


if __name__ == "__main__":
    main(tyro.cli(Args))
