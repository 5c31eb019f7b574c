"""How well the model of attempts foretells programs on tasks that it never saw.

    python tools/ml_attempts.py --group held-out --count 60 --out held_out_attempts.parquet
    python -m benchmarks.ml_foretelling --attempts held_out_attempts.parquet

The heads know the train tasks alone. Of each held-out task, some programs are told to the model as anchors, by chance,
and the others are foretold. Results go to ml_engineering.csv as `foretelling`, methods `0 anchors`, `10 anchors`, ...:

- `failure_auroc`: of the probability of no answer; on tasks where some answer and some do not.
- `work_within_1.5`: the share of programs that answer whose work is foretold within a factor of 1.5.
- `score_spearman`: the rank correlation of foretold and real validation skill within the task.
- `pairs`: the share of pairs, of programs that both answer, whose better one is foretold, by the hidden skill; and
  `pairs_validation`: the same by the validation score itself, which costs both runs.
- `coverage_score`, `coverage_work`: of 90 % intervals.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import tyro
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.results import Figure, Results
from gedanken.models.attempts.features import task_features
from gedanken.models.attempts.foresight import Done, Foresight
from gedanken.models.attempts.heads import designs_of
from gedanken.models.attempts.known import known_heads
from gedanken.worlds.ml_engineering.suite import shipped

CLAIM = "foretelling"


@dataclass(frozen=True)
class Args:
    """Foretelling programs on held-out tasks."""

    attempts: Path
    anchors: tuple[int, ...] = (0, 10, 20)
    seeds: int = 5


def main(args: Args) -> None:
    """Writes the figures of each task and seed as soon as they are there."""
    results, heads = Results("ml_engineering"), known_heads()
    attempts = pd.read_parquet(args.attempts)
    for name in sorted(set(attempts["task"])):
        rows, task = attempts[attempts["task"] == name].reset_index(drop=True), task_features(shipped(name))
        for count, seed in itertools.product(args.anchors, range(args.seeds)):
            pick = np.random.default_rng([seed, count]).permutation(len(rows))
            foresight = Foresight(heads, task, tuple(done_of(rows.iloc[pick[:count]])), seed)
            figures = [Figure(count, m, v, 0.0) for m, v in judged(foresight, rows.iloc[pick[count:]]).items()]
            results.put(claim=CLAIM, world=name, method=f"{count} anchors", seed=seed, figures=figures)
            told = ", ".join(f"{figure.metric} {figure.value:.2f}" for figure in figures)
            print(f"{name} {count} anchors seed {seed}: {told}", flush=True)
    results.put_machine()


def done_of(rows: pd.DataFrame) -> list[Done]:
    """Attempts as the model is told of them."""
    skills = [None if np.isnan(skill) else float(skill) for skill in rows["validation_skill"].to_numpy(np.float64)]
    told = zip(designs_of(rows), rows["verdict"], skills, rows["work_ms"], strict=True)
    return [Done(design, verdict, skill, float(work)) for design, verdict, skill, work in told]


def judged(foresight: Foresight, rows: pd.DataFrame) -> dict[str, float]:
    """The figures of what was foretold of some programs."""
    told = foresight.foretell(designs_of(rows))
    ok = (rows["verdict"] == "ok").to_numpy()
    found: dict[str, float] = {}
    if 0 < ok.sum() < len(ok):
        found["failure_auroc"] = float(roc_auc_score(~ok, 1.0 - told.ok))
    work = np.maximum(rows["work_ms"].to_numpy(np.float64), 1.0)[ok]
    validation, hidden = (rows[f"{part}_skill"].to_numpy(np.float64)[ok] for part in ("validation", "hidden"))
    skill = told.skill[ok]
    found["work_within_1.5"] = float(np.mean(np.abs(np.log(work / told.work_ms[ok])) <= np.log(1.5)))
    found["score_spearman"] = float(spearmanr(skill, validation).statistic)
    found["pairs"], found["pairs_validation"] = pairs(skill, hidden), pairs(validation, hidden)
    found["coverage_score"] = float(np.mean((told.skill_low[ok] <= validation) & (validation <= told.skill_high[ok])))
    found["coverage_work"] = float(np.mean((told.work_low[ok] <= work) & (work <= told.work_high[ok])))
    return found


def pairs(said: np.ndarray, came: np.ndarray) -> float:
    """The share of pairs that are ordered as they came; a pair that is said to be equal counts half."""
    one, other = np.triu_indices(len(said), 1)
    differ = came[one] != came[other]
    agree = np.sign(said[one] - said[other]) * np.sign(came[one] - came[other])
    return float(np.mean((agree[differ] + 1) / 2))


if __name__ == "__main__":
    main(tyro.cli(Args))
