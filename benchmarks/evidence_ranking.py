"""Who ranks policies as the world does: the model, or off-policy estimators on the very steps it was learned from?

    python -m benchmarks.evidence_ranking --world Pendulum-v1 --steps 1000 --seeds 0 1 2

A run learns a model from so many paid steps; a panel of 25 policies of spread quality (`gedanken.intermediary.panel`)
is learned in it and played for real. Their real returns are the truth. Beside the model, on the run's own logged
episodes: fitted Q evaluation, weighted importance sampling and doubly robust estimation (`gedanken.evidence.estimate`).
Results go to evidence.csv, for each estimator:

- `spearman`, `spearman_low`, `spearman_high`: with its 95 % bootstrap interval over policies; no row where fewer than
  five policies could be estimated.
- `regret_after_10`: of the policy chosen with 10 real episodes and this estimator, as a share of the difference of the
  best and the worst; mean of 500 replays on the real returns. `sequential-halving` and `uniform` choose without one.
- `episodes_needed`: of the real episodes that returns alone would need for a 95 % interval as narrow, the percentage
  that is needed beside the imagined ones; median over the policies whose real returns differ, `..._low` and `..._high`
  its quartiles, `valued` how many these are (`gedanken.evidence.prediction_powered`).
- `estimated`: of how many policies there was an estimate. `policies`, `real_spread`: the panel's size, and the range of
  its mean real returns.

The run is kept in runs/benchmarks/, and so is the panel: what was played is not played again.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from gedanken.evidence import Estimates, Judgement, ReturnTable, estimate, judge
from gedanken.evidence.ranking import FEWEST
from gedanken.evidence.table import REAL, Row
from gedanken.experience.cost import Budget
from gedanken.intermediary.config import CheckConfig
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.panel import IMAGINED, Panel, PanelConfig, play_panel
from gedanken.intermediary.presets import preset
from gedanken.intermediary.run import LEARN, Run
from gedanken.intermediary.stages import read_experience

CLAIM = "ranking"
METHODS = {
    IMAGINED: "model",
    "fitted Q": "fitted-q",
    "importance sampling, weighted": "weighted-importance-sampling",
    "doubly robust": "doubly-robust",
}
"""The source in the table of returns -> the method in the results."""
WITHOUT = {"sequential halving": "sequential-halving", "uniform": "uniform"}
SPEND, REPLAYS = 10, 500
_KEY = 9


@dataclass(frozen=True)
class Args:
    """Ranks a panel of policies by the model and by off-policy estimators."""

    world: str
    """Gymnasium id."""
    steps: int = 1_000
    """Paid steps that the model is learned from, and that are logged."""
    seeds: tuple[int, ...] = (0, 1, 2)
    updates: int = 2_000
    """Of each of the panel's learners."""
    episodes: int = 20
    """Real episodes of each policy."""
    imagined: int = 1_000
    """Imagined ones besides those that start alike."""
    dry: bool = False
    """Print the figures and write nothing."""


def main(args: Args) -> None:
    """Writes the figures of one run a seed, as soon as they are complete."""
    results = Results("evidence")
    for seed in args.seeds:
        began = time.perf_counter()
        found = judged(args, seed)
        seconds = time.perf_counter() - began
        for method, figures in found.items():
            print(f"{args.world} seed {seed} {method}: {figures}", flush=True)
            if not args.dry:
                rows = [Figure(args.steps, metric, value, seconds) for metric, value in figures.items()]
                results.put(claim=CLAIM, world=args.world, method=method, seed=seed, figures=rows)
    if not args.dry:
        results.put_machine()


def judged(args: Args, seed: int) -> dict[str, dict[str, float]]:
    """Method -> metric -> value, of one run."""
    folder = Path("runs/benchmarks") / f"ranking-{args.world}-{args.steps}-seed{seed}"
    config = dataclasses.replace(preset(args.world), check=CheckConfig(episodes=0))
    with Intermediary(args.world, budget=Budget(steps=args.steps), seed=seed, folder=folder, config=config) as between:
        while between.round():
            print(f"  {args.world} seed {seed}: {between.paid['steps']} steps paid", flush=True)
    panel_config = PanelConfig(updates=args.updates, episodes=args.episodes, imagined=args.imagined)
    with Run.open(folder) as run:
        read_experience(run)
        panel = play_panel(run, panel_config)
        table = with_estimates(run, panel, seed)
    return figures_of(judge(table, spend=SPEND, replays=REPLAYS, seed=seed))


def with_estimates(run: Run, panel: Panel, seed: int) -> ReturnTable:
    """The panel's returns, and in the same table what each estimator says of each policy, as one episode."""
    logs = list(run.experience.episodes(account=LEARN))
    horizon = run.world.max_episode_steps
    assert horizon is not None
    rows = panel.table.rows
    for number, member in enumerate(panel.members):
        said: Estimates = estimate(
            logs, member.agent.drawn, run.codec, horizon=horizon, key=run.key(_KEY, number), seed=seed
        )
        values = {name: said.estimates[name].mean for name in METHODS if name != IMAGINED}
        rows += [Row(member.name, name, seed, 0, value) for name, value in values.items() if value is not None]
        print(f"  {member.name}: {values}", flush=True)
    return ReturnTable.of(rows)


def figures_of(found: Judgement) -> dict[str, dict[str, float]]:
    """Method -> metric -> value; what was not measured is left out."""
    means = [value.mean for value in found.real.values() if value.mean is not None]
    figures: dict[str, dict[str, float]] = {
        REAL: {"policies": len(found.policies), "real_spread": max(means) - min(means)}
    }
    for source, method in METHODS.items():
        count = len(found.policies) - len(found.unranked.get(source, found.policies))
        figures[method] = {"estimated": count}
        if count < FEWEST:
            continue
        spearman = found.rankings[source]["spearman"]
        if spearman.mean is not None:
            figures[method]["spearman"] = spearman.mean
        if spearman.low is not None and spearman.high is not None:
            figures[method] |= {"spearman_low": spearman.low, "spearman_high": spearman.high}
        regret = found.replays[source]["gedanken"].share.mean
        if regret is not None:
            figures[method]["regret_after_10"] = regret
    figures["model"] |= needed_of(found)
    for way, method in WITHOUT.items():
        regret = found.replays[IMAGINED][way].share.mean
        if regret is not None:
            figures[method] = {"regret_after_10": regret}
    return figures


def needed_of(found: Judgement) -> dict[str, float]:
    """What share of the real episodes is needed beside the model's, in percent."""
    counted = [
        (value.comparison.real.count, value.saved)
        for value in found.values
        if value.source == IMAGINED and value.saved is not None
    ]
    shares = [100.0 * count / (count + saved) for count, saved in counted]
    if not shares:
        return {"valued": 0}
    low, middle, high = np.percentile(shares, [25, 50, 75])
    return {
        "valued": len(shares),
        "episodes_needed": float(middle),
        "episodes_needed_low": float(low),
        "episodes_needed_high": float(high),
    }


if __name__ == "__main__":
    main(tyro.cli(Args))
