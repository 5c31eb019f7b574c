"""What a budget of compute brings on held-out tasks: foresight beside Optuna's TPE, search by chance and by evolution.

    python -m benchmarks.ml_compute --seeds 5

Every program is run for real, in the sandbox, within the same limits, and billed by its processor time; the methods
search the same space of programs (`gedanken.worlds.ml_engineering.pipelines`) and see the same validation scores. FLAML
searches its own space, in one program that is given the whole budget. Processor time and not the clock, so that what
else the machine does counts less.

- `gedanken`: the agent as it ships, its heads fitted to the train tasks. `evolution`, `random`: our agents without a
  model. `optuna-tpe`: Optuna's TPESampler with its defaults and conditional parameters, failures told as the worst.
  `flaml`: FLAML's AutoML with its defaults.

Results go to ml_engineering.csv as `compute`: at each program `validation_skill` and `hidden_skill` of the best by
validation until then, `paid` being the processor time in milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import itertools

import numpy as np
import optuna
import tyro

from benchmarks.results import Figure, Results
from gedanken.agents.engineer import Engineer, Evolution, Foreseeing, RandomSearch, Tried
from gedanken.models.attempts.features import task_features
from gedanken.models.attempts.known import known_heads
from gedanken.worlds.ml_engineering.attempt import Attempt, attempt
from gedanken.worlds.ml_engineering.pipelines import SPACE, canonical, program, relevant
from gedanken.worlds.ml_engineering.suite import names, shipped
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.parameters import Categorical, Continuous, Design, Integer
from gedanken.worlds.sandbox import Limits

CLAIM = "compute"
LIMIT_S = 30.0
_WORST = -1.0
"""What Optuna is told of a failure, and of whatever is worse."""
METHODS = ("gedanken", "optuna-tpe", "evolution", "random", "flaml")
_FLAML = """import json

import pandas as pd
from flaml import AutoML

task = json.load(open("task.json"))
train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
kinds = {name: "category" for name, kind in task["columns"].items() if kind == "word"}
x, unseen = train[list(task["columns"])].astype(kinds), test[list(task["columns"])].astype(kinds)
y = train[task["target"]] if task["kind"] == "regression" else train[task["target"]].astype(str)
kind = "regression" if task["kind"] == "regression" else "classification"
model = AutoML()
model.fit(x, y, task=kind, metric=task["metric"], time_budget=BUDGET, seed=SEED, n_jobs=1, verbose=0,
          estimator_list=["lgbm", "rf", "extra_tree", "kneighbor", "lrl1"] if kind != "regression"
          else ["lgbm", "rf", "extra_tree", "kneighbor"])
answer = pd.DataFrame({"id": test["id"]})
if kind == "regression":
    answer["prediction"] = model.predict(unseen)
else:
    answer[[str(label) for label in model.classes_]] = model.predict_proba(unseen)
answer.to_csv("submission.csv", index=False)
"""


@dataclass(frozen=True)
class Args:
    """Equal compute."""

    tasks: tuple[str, ...] = tuple(names("held-out"))
    methods: tuple[str, ...] = METHODS
    seeds: int = 5
    first_seed: int = 0
    cpu_seconds: int = 120


def main(args: Args) -> None:
    """Writes each campaign as soon as it is over."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results = Results("ml_engineering")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for name, seed, method in itertools.product(args.tasks, seeds, args.methods):
        task = shipped(name)
        campaign = flaml if method == "flaml" else searched
        figures, best = [], (-np.inf, -np.inf)
        for spent, done in campaign(task, method, args.cpu_seconds * 1_000, seed):
            if done.validation is not None and done.hidden is not None and done.validation.skill > best[0]:
                best = (done.validation.skill, done.hidden.skill)
            if np.isfinite(best[0]):
                figures += [
                    Figure(spent, "validation_skill", best[0], 0.0),
                    Figure(spent, "hidden_skill", best[1], 0.0),
                ]
        results.put(claim=CLAIM, world=name, method=method, seed=seed, figures=figures)
        print(f"{name} {method} seed {seed}: validation {best[0]:.4f}, hidden {best[1]:.4f}", flush=True)
    results.put_machine()


def searched(task: Task, method: str, budget_ms: int, seed: int) -> Iterator[tuple[int, Attempt]]:
    """Programs until the budget is spent: processor time in milliseconds until the end of each, and its outcome."""
    ask, tell = _of_optuna(task, seed) if method == "optuna-tpe" else _of_ours(task, method, budget_ms, seed)
    spent = 0
    while budget_ms - spent > 1_000:
        asked = ask(budget_ms - spent)
        if asked is None:
            return
        left = min(LIMIT_S, (budget_ms - spent) / 1_000)
        done, _ = attempt(task, asked[0], limits=Limits(seconds=4 * left, cpu_seconds=left))
        spent += done.cpu_ms
        tell(asked[0], asked[1], done)
        yield min(spent, budget_ms), done


Asked = Callable[[int], tuple[str, Design] | None]
Told = Callable[[str, Design, Attempt], None]


def _of_ours(task: Task, method: str, budget_ms: int, seed: int) -> tuple[Asked, Told]:
    agents: dict[str, Callable[[], Engineer]] = {
        "gedanken": lambda: Foreseeing(known_heads(), task_features(task)),
        "evolution": Evolution,
        "random": RandomSearch,
    }
    agent, tried = agents[method](), list[Tried]()

    def ask(left_ms: int) -> tuple[str, Design] | None:
        proposal = agent.propose(
            task.kind, tried, left_ms=float(left_ms), limit_ms=1_000 * LIMIT_S, seed=10_000 * seed + len(tried)
        )
        return None if proposal is None or proposal.design is None else (proposal.program, proposal.design)

    def tell(text: str, design: Design, done: Attempt) -> None:
        skill = None if done.validation is None else done.validation.skill
        tried.append(Tried(text, design, str(done.verdict), skill, done.cpu_ms, done.startup_ms, done.error))

    del budget_ms
    return ask, tell


def _of_optuna(task: Task, seed: int) -> tuple[Asked, Told]:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    trials: list[optuna.Trial] = []

    def ask(_: int) -> tuple[str, Design]:
        trial = study.ask()
        trials.append(trial)
        design = _suggested(trial, task)
        return program(design, task.kind), design

    def tell(_: str, __: Design, done: Attempt) -> None:
        study.tell(trials[-1], max(done.validation.skill if done.validation is not None else _WORST, _WORST))

    return ask, tell


def _suggested(trial: optuna.Trial, task: Task) -> Design:
    """A point of the space, of whose parameters only those are suggested that its model reads."""
    middle = {
        p.name: p.levels[0] if isinstance(p, Categorical) else p.decoded(np.array([0.5])) for p in SPACE.parameters
    }
    found: dict[str, float | int | str] = dict(middle)
    found["model"] = trial.suggest_categorical("model", list(SPACE.parameters[0].levels))  # type: ignore[union-attr]
    for name in relevant(found)[1:]:
        if name == "target" and task.kind != "regression":
            continue
        match next(p for p in SPACE.parameters if p.name == name):
            case Categorical(levels=levels):
                found[name] = trial.suggest_categorical(name, list(levels))
            case Integer(low=low, high=high):
                found[name] = trial.suggest_int(name, low, high)
            case Continuous(low=low, high=high, log=log):
                found[name] = trial.suggest_float(name, low, high, log=log)
    return canonical(SPACE.checked(found), task.kind)


def flaml(task: Task, method: str, budget_ms: int, seed: int) -> Iterator[tuple[int, Attempt]]:
    """FLAML's own search as one program, which ends by itself a little before its budget does."""
    del method
    budget = budget_ms / 1_000
    text = _FLAML.replace("BUDGET", f"{budget - 6:.0f}").replace("SEED", str(seed))
    done, _ = attempt(task, text, limits=Limits(seconds=4 * budget, cpu_seconds=1.2 * budget))
    yield done.cpu_ms, done


if __name__ == "__main__":
    main(tyro.cli(Args))
