"""Policy gradients from runs of 0.5 s to 60 s: when are they biased, and do weights by duration help?

    python -m benchmarks.ml_duration --seeds 20

Five actions: two that fail, three that succeed, one of which is the best. What a learner sees of them depends on how
its 16 workers work:

- `bound`: a worker keeps to the action it drew, and runs it again and again (an action is a task, or a recipe). An
  action's runs then arrive at a rate of pi(a) / d(a), which the weights of Yang et al. 2025 (arXiv 2509.01684) make up
  for.
- `anew`: a worker draws from the policy whenever it is free. Each draw makes one run, so that in the long run a share
  pi(a) of the runs is of action a. `anew_beginning` is the same in the first 90 s, when the long runs that were begun
  are mostly not over.
- `abandoned`: as `anew`, and each update stops all runs of earlier policies.

`duration_bias`, with a fixed policy: the gradient of all runs of 600 s (of 90 s at the beginning), averaged over
`windows` windows a seed, against the true one. Metrics: `cosine`, `relative_error` (the distance over the true one's
length), `relative_error_in_batches` (of the average gradient of batches of 16, in the order in which runs end),
`slow_share` (of the runs, of the action that takes 60 s; it has 0.15 of the policy). `expected` is the average over all
seeds, under seed 0: its error is bias, where that of one seed is noise as well. A sixteenth of it is no matter of
durations: a mean over 16 independent draws (a batch, or the actions of 16 bound workers) contains each run itself, and
shortens the gradient by that much.

`duration_learning`: the best action's probability after 1,800 simulated seconds (`best_probability_lr_...`), and how
many runs were over by then, for two learning rates; where the best action is the slowest, and where it is the fastest.
Bound workers draw a new action every 120 s.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from gedanken.agents.duration_aware import PolicyGradient, SoftmaxPolicy, advantages, duration_weights
from gedanken.dreams.asynchronous import Asynchrony, Result, Run, simulate

METHODS = ("plain", "duration_aware")
WORKERS, BATCH = 16, 16
NOISE, JITTER = 0.05, 0.1
"""The standard deviations of a reward, and of the logarithm of a duration."""
POLICY = np.array([0.2, 0.25, 0.25, 0.15, 0.15])
REBOUND = 120.0
"""Seconds after which bound workers draw anew while they learn."""
RATES = (0.1, 0.5)


@dataclass(frozen=True)
class Actions:
    """What each action brings on average, [K], and its typical seconds, [K]."""

    rewards: np.ndarray
    durations: np.ndarray

    def __call__(self, action: int, rng: np.random.Generator) -> Result:
        """One run."""
        noise, jitter = rng.standard_normal(2)
        return Result(
            float(self.rewards[action] + NOISE * noise), float(self.durations[action] * np.exp(JITTER * jitter))
        )


SECONDS = np.array([0.5, 1.0, 3.0, 20.0, 60.0])
WORLDS = {
    "slow_best": Actions(np.array([0.0, 0.5, 0.6, 0.0, 1.0]), SECONDS),
    "fast_best": Actions(np.array([0.0, 1.0, 0.6, 0.0, 0.5]), SECONDS),
}
WINDOWS = {"bound": 600.0, "anew": 600.0, "anew_beginning": 90.0, "abandoned": 600.0}


@dataclass(frozen=True)
class Args:
    """Bias and learning with actions of different durations."""

    seeds: int = 20
    windows: int = 20
    seconds: float = 1_800.0


def main(args: Args) -> None:
    """Writes each figure as soon as it is measured."""
    results = Results("ml_engineering")
    for regime in WINDOWS:
        bias(results, regime, args)
    for world, regime, method in itertools.product(WORLDS, ("bound", "anew", "abandoned"), METHODS):
        found = []
        for seed in range(args.seeds):
            figures = [figure for rate in RATES for figure in learned(world, regime, method, rate, seed, args.seconds)]
            results.put(claim="duration_learning", world=f"{world}_{regime}", method=method, seed=seed, figures=figures)
            found.append([figure.value for figure in figures])
        print(world, regime, method, np.round(np.mean(found, 0), 3), flush=True)
    results.put_machine()


# --- Bias -----------------------------------------------------------------------------------------------------------


def bias(results: Results, regime: str, args: Args) -> None:
    """The gradients of one way of working, by both methods, of all seeds and of their average."""
    true = POLICY * (WORLDS["slow_best"].rewards - POLICY @ WORLDS["slow_best"].rewards)
    whole: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    batched: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    for seed in range(args.seeds):
        began = time.perf_counter()
        windows = [observed(regime, np.random.default_rng([seed, window])) for window in range(args.windows)]
        took = time.perf_counter() - began
        slow = float(np.concatenate([runs.actions == len(SECONDS) - 1 for runs in windows]).mean())
        count = sum(len(runs.actions) for runs in windows)
        for method in METHODS:
            weighed = method == "duration_aware"
            whole[method].append(np.mean([gradient(runs, weighed) for runs in windows], 0))
            batches = [batch for runs in windows for batch in runs.batches()]
            batched[method].append(np.mean([gradient(runs, weighed) for runs in batches], 0))
            figures = [
                *compared(whole[method][-1], batched[method][-1], true, count, took),
                Figure(count, "slow_share", slow, took),
            ]
            results.put(claim="duration_bias", world=regime, method=method, seed=seed, figures=figures)
    for method in METHODS:
        figures = compared(np.mean(whole[method], 0), np.mean(batched[method], 0), true, args.seeds, 0.0)
        results.put(claim="duration_bias", world=f"{regime}_expected", method=method, seed=0, figures=figures)
        print(regime, method, [f"{figure.metric} {figure.value:.3f}" for figure in figures], f"{slow:.4f}", flush=True)


class Columns(NamedTuple):
    """Runs in the order in which they ended, [N] each."""

    actions: np.ndarray
    rewards: np.ndarray
    durations: np.ndarray

    def batches(self) -> list[Columns]:
        """As a learner gets them; an incomplete last one is left out."""
        starts = range(0, len(self.actions) - BATCH + 1, BATCH)
        return [Columns(*(column[start : start + BATCH] for column in self)) for start in starts]


def columns(runs: Sequence[Run]) -> Columns:
    """What a learner needs of runs."""
    return Columns(*(np.array([getattr(run, name) for run in runs]) for name in ("action", "reward", "duration")))


def observed(regime: str, rng: np.random.Generator) -> Columns:
    """The runs that are over in one window, with a fixed policy."""
    bound = rng.choice(len(POLICY), WORKERS, p=POLICY)
    asynchrony = Asynchrony(WORKERS, BATCH, abandon=regime == "abandoned")
    act = kept if regime == "bound" else drawn
    policy = bound if regime == "bound" else POLICY.cumsum()
    done = simulate(asynchrony, policy, act, WORLDS["slow_best"], lambda same, _: same, until=WINDOWS[regime], rng=rng)
    return columns(done.runs)


def drawn(ends: np.ndarray, rng: np.random.Generator, _: int) -> int:
    """An action by the cumulated probabilities."""
    return min(int(np.searchsorted(ends, rng.random(), side="right")), len(ends) - 1)


def kept(bound: np.ndarray, _: np.random.Generator, worker: int) -> int:
    """The action that a worker keeps to."""
    return int(bound[worker])


def gradient(runs: Columns, weighed: bool) -> np.ndarray:
    """The policy gradient with respect to the logits, [K], as `policy_gradient_loss` has it (a test compares)."""
    weights = duration_weights(runs.durations) if weighed else np.ones(len(runs.actions))
    better: Any = weights * advantages(runs.rewards, weights=weights)  # type: ignore[arg-type]
    found: np.ndarray = np.bincount(runs.actions, better, len(POLICY)) / len(better) - POLICY * better.mean()
    return found


def compared(whole: np.ndarray, batched: np.ndarray, true: np.ndarray, paid: int, took: float) -> list[Figure]:
    """Figures of two estimates against the true gradient."""
    length = float(np.linalg.norm(true))
    return [
        Figure(paid, "cosine", float(whole @ true) / (float(np.linalg.norm(whole)) * length), took),
        Figure(paid, "relative_error", float(np.linalg.norm(whole - true)) / length, took),
        Figure(paid, "relative_error_in_batches", float(np.linalg.norm(batched - true)) / length, took),
    ]


# --- Learning -------------------------------------------------------------------------------------------------------


class Learning(NamedTuple):
    """A policy and what belongs to it. ends: its probabilities, cumulated. bound, since: bound workers' actions."""

    policy: SoftmaxPolicy
    memory: Any
    ends: np.ndarray
    bound: np.ndarray
    since: float


def learned(world: str, regime: str, method: str, rate: float, seed: int, seconds: float) -> list[Figure]:
    """The best action's probability in the end, and how many runs were over."""
    began = time.perf_counter()
    actions, step = WORLDS[world], PolicyGradient(duration_aware=method == "duration_aware", learning_rate=rate)
    rng = np.random.default_rng([seed, 1])

    def draws(ends: np.ndarray) -> np.ndarray:
        return np.array([drawn(ends, rng, worker) for worker in range(WORKERS)])

    def learn(state: Learning, runs: list[Run]) -> Learning:
        policy, memory = step.update(state.policy, state.memory, *columns(runs))
        ends, now = policy.probabilities().cumsum(), runs[-1].ended_at
        again = regime == "bound" and now - state.since >= REBOUND
        return Learning(policy, memory, ends, *((draws(ends), now) if again else (state.bound, state.since)))

    act: Callable[[Learning, np.random.Generator, int], int] = (
        (lambda state, rng, worker: kept(state.bound, rng, worker))
        if regime == "bound"
        else (lambda state, rng, worker: drawn(state.ends, rng, worker))
    )
    policy = SoftmaxPolicy.uniform(len(SECONDS))
    ends = policy.probabilities().cumsum()
    found = simulate(
        Asynchrony(WORKERS, BATCH, abandon=regime == "abandoned"),
        Learning(policy, step.begin(policy), ends, draws(ends), 0.0),
        act,
        actions,
        learn,
        until=seconds,
        rng=np.random.default_rng([seed, 0]),
    )
    best, took = int(actions.rewards.argmax()), time.perf_counter() - began
    return [
        Figure(len(found.runs), f"best_probability_lr_{rate:g}", float(found.policy.policy.probabilities()[best]), took)
    ]


if __name__ == "__main__":
    main(tyro.cli(Args))
