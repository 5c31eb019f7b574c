"""Claim: with few real episodes, a model's values and a race find a better policy than either alone, and a bad model
costs no more than having none.

Simulated studies of 20 policies, whose values are standard normal and whose returns are as noisy as the values differ.
The model knows the values well, not at all, or misleads (see `study`). Each way spends the same real episodes; regret
is the value of the best policy minus that of the chosen one. Beside ours: halving and uniform allocation without a
model, ours without a model, and the model alone, which pays for nothing. About two minutes on one core.

    python -m benchmarks.evidence_selection
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.results import Figure, Results
from gedanken.evidence.allocation import Pay, model_only, sequential_halving, uniform
from gedanken.evidence.racing import race

Floats = NDArray[np.float64]
Kind = Literal["good", "useless", "reversed", "slander", "exploited"]
DRAWS = 500


@dataclass(frozen=True)
class Config:
    """How much of everything."""

    studies: int = 50
    """Studies of each kind, and seed."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Repeats, each with studies of its own."""
    episodes: tuple[int, ...] = (10, 20, 50)
    """Real episodes to spend."""
    policies: int = 20
    """Candidates."""
    noise: float = 1.0
    """Of one return, in standard deviations of the policies' values."""


class Study(NamedTuple):
    """truth: [K] values of the policies; imagined: [K] the model's."""

    truth: Floats
    imagined: Floats


def study(kind: Kind, policies: int, rng: np.random.Generator) -> Study:
    """One study.

    good: the model's values correlate with the true ones at 0.9. useless: at 0. reversed: at -0.9. slander: good, but
    the best policy has the lowest value and the worst one the highest. exploited: good, but the three worst policies
    have the three highest values, as if they had been optimised in the model.
    """
    truth = rng.normal(size=policies)
    good = 0.9 * truth + np.sqrt(1.0 - 0.9**2) * rng.normal(size=policies)
    order, imagined = np.argsort(truth), good.copy()
    if kind == "useless":
        imagined = rng.normal(size=policies)
    elif kind == "reversed":
        imagined = -good
    elif kind == "slander":
        imagined[order[-1]], imagined[order[0]] = good.min() - 0.5, good.max() + 1.0
    elif kind == "exploited":
        imagined[order[:3]] = good.max() + np.array([1.0, 0.7, 0.5])
    return Study(truth, imagined)


Way = Callable[[Pay, Floats, int, np.random.Generator], tuple[int, float | None]]
"""(pay, imagined, episodes, rng) -> the chosen policy, and the regret that this way itself expects."""


def ours(pay: Pay, imagined: Floats, episodes: int, rng: np.random.Generator) -> tuple[int, float | None]:
    chosen, belief = race(pay, imagined, episodes, rng)
    if belief is None:
        return chosen, None
    drawn = belief.draw(DRAWS, rng)
    return chosen, float((drawn.max(1) - drawn[:, chosen]).mean())


WITH_MODEL: dict[str, Way] = {
    "gedanken": ours,
    "model-only": lambda _, imagined, __, rng: (model_only(imagined, rng), None),
}
WITHOUT: dict[str, Way] = {
    "gedanken-without-model": lambda pay, imagined, episodes, rng: ours(
        pay, np.full_like(imagined, np.nan), episodes, rng
    ),
    "sequential-halving": lambda pay, imagined, episodes, rng: (
        sequential_halving(pay, len(imagined), episodes, rng),
        None,
    ),
    "uniform": lambda pay, imagined, episodes, rng: (uniform(pay, len(imagined), episodes, rng), None),
}


def measure(kind: Kind, way: Way, episodes: int, seed: int, config: Config) -> list[Figure]:
    """The mean regret of one way over the studies of one seed, and how often it found the best policy."""
    found: dict[str, list[float]] = defaultdict(list)
    start = time.perf_counter()
    for number in range(config.studies):
        # The same studies for every way and budget.
        truth, imagined = study(kind, config.policies, np.random.default_rng([seed, number]))
        rng = np.random.default_rng([seed, number, episodes])

        def pay(policy: int, truth: Floats = truth, rng: np.random.Generator = rng) -> float:
            return float(truth[policy] + config.noise * rng.normal())

        chosen, expected = way(pay, imagined, episodes, rng)
        found["regret"].append(float(truth.max() - truth[chosen]))
        found["found_best"].append(float(chosen == truth.argmax()))
        if expected is not None:
            found["expected_regret"].append(expected)
    took = time.perf_counter() - start
    return [Figure(episodes, metric, float(np.mean(values)), took) for metric, values in found.items()]


def main(config: Config, results: Results | None = None) -> None:
    """Measures every kind of model and every way."""
    results = results if results is not None else Results("evidence")
    for seed in config.seeds:
        # Studies of one seed differ between the kinds in what the model says alone, so these are the same for all.
        without = {method: _curve("good", way, seed, config) for method, way in WITHOUT.items()}
        for kind in get_args(Kind):
            found = {method: _curve(kind, way, seed, config) for method, way in WITH_MODEL.items()} | without
            for method, figures in found.items():
                world = f"{config.policies} policies, {kind} model"
                results.put(claim="selection", world=world, method=method, seed=seed, figures=figures)
                shown = ", ".join(f"{each.value:.2f}" for each in figures if each.metric == "regret")
                print(f"seed {seed}, {kind}, {method}: regret {shown}", flush=True)
    results.put_machine()


def _curve(kind: Kind, way: Way, seed: int, config: Config) -> list[Figure]:
    return [figure for episodes in config.episodes for figure in measure(kind, way, episodes, seed, config)]


if __name__ == "__main__":
    main(tyro.cli(Config))
