"""What the same return costs without a model: SAC of Stable-Baselines3, from rows that are shipped with the package.

`reference.csv` is written by `python -m benchmarks.reference` from `benchmarks/results/learning.csv`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from functools import cache
from importlib.resources import files

import numpy as np

from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.report.data import Curve, NotMeasured, Reference

SOURCE = "benchmarks/results/learning.csv"
METHOD = "SAC (Stable-Baselines3)"

Curves = dict[str, dict[int, dict[int, float]]]
"""World -> paid steps -> seed -> return."""


def reference(world: str, reached: Interval) -> Reference | NotMeasured:
    """How many steps SAC needs to come to the return that was reached.

    To be fair to SAC, it has come there where its mean over seeds is no lower than the low end of our interval.

    Args:
        world: its name, with or without its room.
        reached: the real return of our agent.
    """
    points = _stored().get(world.rpartition("/")[2])
    if not points:
        return NotMeasured("no benchmark of SAC in this world is stored")
    target = reached.low if reached.low is not None else reached.mean
    if target is None:
        return NotMeasured("this run's own return was not measured")
    seeds = set.intersection(*(set(returns) for returns in points.values()))
    steps = sorted(points)
    told = [mean_with_interval([points[at][seed] for seed in sorted(seeds)], seed=0) for at in steps]
    mean = np.array([np.nan if each.mean is None else each.mean for each in told])
    there = np.flatnonzero(mean >= target)
    return Reference(
        method=METHOD,
        paid=steps[int(there[0])] if len(there) else None,
        within=steps[-1],
        source=SOURCE,
        seeds=len(seeds),
        curve=Curve(
            x=np.array(steps, float),
            mean=mean,
            low=np.array([np.nan if each.low is None else each.low for each in told]),
            high=np.array([np.nan if each.high is None else each.high for each in told]),
        ),
    )


@cache
def _stored() -> Curves:
    curves: Curves = defaultdict(lambda: defaultdict(dict))
    with files("gedanken.report").joinpath("reference.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            curves[row["world"]][int(row["paid"])][int(row["seed"])] = float(row["return"])
    return {world: dict(points) for world, points in curves.items()}
