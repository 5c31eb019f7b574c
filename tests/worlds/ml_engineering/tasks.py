"""Small tasks, answers to them, and a level of isolation to run programs at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd

from gedanken.experience.cost import Cost
from gedanken.worlds.ml_engineering.metrics import Kind, Metric
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.ml_engineering.world import EngineeringEnv, price_of
from gedanken.worlds.sandbox import Isolation, Limits, available, require
from gedanken.worlds.world import World

METRICS = {"binary": Metric.ROC_AUC, "multiclass": Metric.LOG_LOSS, "regression": Metric.RMSE}


def frame(kind: Kind, rows: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    number, word = rng.normal(size=rows), rng.choice(["red", "green"], rows)
    noisy = number + 0.3 * rng.normal(size=rows)
    target: Any = noisy
    if kind != "regression":
        labels = np.array(["no", "yes"] if kind == "binary" else ["bad", "fair", "good"])
        target = labels[np.argsort(np.argsort(noisy)) * len(labels) // rows]
    return pd.DataFrame({"number": number, "word": word, "target": target})


def small(kind: Kind, /, *, rows: int = 60, seed: int = 0, **changes: Any) -> Task:
    given = {"frame": frame(kind, rows), "target": "target", "kind": kind, "metric": METRICS[kind], "seed": seed}
    return Task("small", **(given | changes))


def unseen_rows(task: Task) -> np.ndarray:
    return np.sort(np.concatenate([task.split.validation, task.split.hidden]))


def perfect(task: Task) -> pd.DataFrame:
    """What somebody who knows the truth would answer."""
    rows = unseen_rows(task)
    answer = pd.DataFrame({"id": rows})
    if task.kind == "regression":
        return answer.assign(prediction=task.truth[rows])
    for place, label in enumerate(task.classes):
        answer[label] = (task.truth[rows] == place).astype(float)
    return answer


def constant(task: Task) -> pd.DataFrame:
    """What somebody who knows nothing would answer."""
    answer = perfect(task)
    return answer.assign(**{name: 1 / max(len(task.classes), 1) for name in answer.columns[1:]})


def write(folder: Path, answer: pd.DataFrame) -> None:
    answer.to_csv(folder / "submission.csv", index=False)


def apart() -> Isolation:
    """The strongest level of this machine that keeps programs apart; never a weaker one."""
    works = available()
    return require(Isolation.BUBBLEWRAP if not works[Isolation.BUBBLEWRAP] else Isolation.LANDLOCK)


def answering(value: str = "0.5", *, then: str = "") -> str:
    """A program that answers the same for each row and column, without any package; `then` runs after it."""
    return f"""
import csv, json
columns = json.load(open("task.json"))["classes"] or ["prediction"]
with open("train.csv"), open("test.csv") as test, open("submission.csv", "w") as answer:
    lines = csv.writer(answer)
    lines.writerow(["id", *columns])
    lines.writerows([row["id"], *[{value}] * len(columns)] for row in csv.DictReader(test))
{then}
"""


class ThreePrograms(gym.ActionWrapper[Any, Any, Any]):
    """Attempts at a task of which there are three: a fair one, a worse one, and one that answers nothing."""

    PROGRAMS = (answering("0.3"), answering("-2.0"), "print('nothing')")

    def __init__(self, env: EngineeringEnv) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.Discrete(len(self.PROGRAMS))

    def action(self, action: int) -> str:
        return self.PROGRAMS[action]


def three_programs() -> World:
    limits = Limits(seconds=20.0, memory_mb=300)
    env = ThreePrograms(EngineeringEnv(small("regression"), limits=limits, isolation=apart()))

    def price(action: int) -> Cost:
        return price_of(limits)

    return World(env, price, name="ml_engineering/three programs", unit="step").with_horizon(3)
