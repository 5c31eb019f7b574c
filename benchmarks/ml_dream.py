"""Does a policy over moves, learned in the dream on the train tasks, do better in the dream on held-out tasks?

    python -m benchmarks.ml_dream --seeds 3

All of this is in the model, nothing is run for real: the heads know the train tasks alone, the policy practises on
these, and is judged by campaigns that the same heads imagine on the features of tasks that neither has seen. So it
says whether the policy has learned what the dream rewards, and carries it to other tasks; it says nothing of whether
the dream is right. For that, the policy has to be run for real.

Results go to ml_engineering.csv as `dream_policy`, a world a held-out task, with `paid` 0, because nothing is. Methods:

- `learned` and `learned_duration_aware`: see `agents.engineer.rehearsed`.
- `uniform`: any possible move but `stop`, all alike.
- `evolution_order`: the sensible programs in their order, then the best one changed, or the best two crossed.

Metrics: `best_at_10`, ..., `best_at_100`: the mean over `campaigns` of the best skill once so many percent of the
budget are spent; a program counts when it has ended. `programs`: how many were run. All methods play on the same
truths. `seconds` is how long learning took.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from gedanken.agents.engineer import LearnedMoves, Rehearsing, train_policy
from gedanken.agents.engineer.rehearsed import Progress
from gedanken.dreams.attempts import AttemptsDream, Campaigns
from gedanken.dreams.attempts_seen import mask_of
from gedanken.models.attempts.features import task_features
from gedanken.models.attempts.heads import Heads
from gedanken.models.attempts.known import known_attempts, known_heads
from gedanken.worlds.ml_engineering.moves import CROSS, DRAW, MUTATE, STOP
from gedanken.worlds.ml_engineering.pipelines import MODELS
from gedanken.worlds.ml_engineering.suite import names, shipped

CLAIM = "dream_policy"
PERCENT = (10, 25, 50, 75, 100)
CROSSING = 0.3
"""How often `evolution_order` crosses, as `agents.engineer.Evolution` does."""
Choose = Callable[[np.ndarray, np.random.Generator], int]


@dataclass(frozen=True)
class Args:
    """Learning moves in the dream, and judging them there."""

    seeds: int = 3
    practice: int = 4_000
    """campaigns to learn from"""
    campaigns: int = 40
    """to judge by, a held-out task"""
    budget_seconds: float = 60.0
    limit_seconds: float = 30.0
    """as the attempts had that the heads were fitted to"""


def main(args: Args) -> None:
    """Writes the figures of each seed as soon as they are there."""
    results = Results("ml_engineering")
    practised, unseen = known_attempts()[1], {name: task_features(shipped(name)) for name in names("held-out")}
    for seed in range(args.seeds):
        for world, methods in compared(known_heads(), practised, unseen, args, seed).items():
            for method, figures in methods.items():
                results.put(claim=CLAIM, world=world, method=method, seed=seed, figures=figures)
    results.put_machine()


def compared(
    heads: Heads, practised: Mapping[str, np.ndarray], unseen: Mapping[str, np.ndarray], args: Args, seed: int
) -> dict[str, dict[str, list[Figure]]]:
    """Task -> method -> figures."""
    about = Campaigns(budget_ms=1_000 * args.budget_seconds, limit_ms=1_000 * args.limit_seconds)
    methods: dict[str, tuple[Choose, float]] = {"uniform": (uniform, 0.0), "evolution_order": (evolution_order, 0.0)}
    for aware in (False, True):
        began = time.perf_counter()
        learned = learn(AttemptsDream(heads, practised, about), args, aware, seed)
        methods[f"learned{'_duration_aware' if aware else ''}"] = learned.choose, time.perf_counter() - began
    judge = AttemptsDream(heads, unseen, about)
    found: dict[str, dict[str, list[Figure]]] = {name: {} for name in unseen}
    for method, (choose, took) in methods.items():
        for name in unseen:
            # Seeds that training has not used: its own are below 2**31.
            truths = range(2**31 + 10_000 * seed, 2**31 + 10_000 * seed + args.campaigns)
            means = np.mean([campaign(judge, name, choose, truth) for truth in truths], 0)
            metrics = [*(f"best_at_{percent}" for percent in PERCENT), "programs"]
            found[name][method] = [Figure(0, *pair, took) for pair in zip(metrics, map(float, means), strict=True)]
        told = np.mean([[figure.value for figure in found[name][method]] for name in unseen], 0)
        print(f"seed {seed}: {method}: {np.round(told, 4).tolist()}", flush=True)
    return found


def learn(dream: AttemptsDream, args: Args, aware: bool, seed: int) -> LearnedMoves:
    """A policy."""

    def told(step: Progress) -> None:
        print(f"  {step.campaigns} campaigns: best {step.best:.3f}, {step.moves:.1f} moves", flush=True)

    return train_policy(dream, Rehearsing(aware, campaigns=args.practice, seed=seed), progress=told)


def campaign(dream: AttemptsDream, task: str, choose: Choose, seed: int) -> list[float]:
    """The best skill when each of `PERCENT` of the budget is spent, and how many programs were run."""
    observation, _ = dream.reset(seed=seed, options={"task": task})
    rng, over, programs, spent, best = np.random.default_rng(seed), False, 0, 0.0, 0.0
    reached = np.zeros(len(PERCENT))
    budget = dream.campaigns.budget_ms
    while not over:
        observation, _, over, _, info = dream.step(choose(observation, rng))
        spent, best = spent + info["duration_ms"], info["best"]
        programs += bool(info["verdict"])
        # Half a millisecond for the rounding of sums.
        reached[spent <= np.array(PERCENT) / 100 * budget + 0.5] = best
    return [*reached.tolist(), float(programs)]


def uniform(observation: np.ndarray, rng: np.random.Generator) -> int:
    """Any possible move but `stop`."""
    return int(rng.choice(np.flatnonzero(mask_of(observation)[:STOP])))


def evolution_order(observation: np.ndarray, rng: np.random.Generator) -> int:
    """What `agents.engineer.Evolution` does, as moves."""
    mask = mask_of(observation)
    fresh = np.flatnonzero(mask[: len(MODELS)])
    if len(fresh):
        return int(fresh[0])
    if not mask[MUTATE]:
        return DRAW
    return CROSS if mask[CROSS] and rng.random() < CROSSING else MUTATE


if __name__ == "__main__":
    main(tyro.cli(Args))
