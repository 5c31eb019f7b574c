"""Attempts on tasks that are made up, whose law is known: cheap to fit heads to."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from gedanken.models.attempts.features import TASK_FEATURES
from gedanken.models.attempts.heads import Heads, fit_heads
from gedanken.worlds.ml_engineering.pipelines import MODELS, drawn
from gedanken.worlds.parameters import Design

GOOD = {model: 0.1 * place for place, model in enumerate(MODELS)}
"""What each model adds to the logarithm of the error, on every task."""


def features(*, words: bool = True, rows: float = 7.0, level: float = -0.5) -> np.ndarray:
    """A regression task's."""
    known = {"regression": 1.0, "balance": 1.0, "log_rows": rows, "has_words": float(words), "share_words": 0.3 * words}
    return np.array([{**known, "linear": level, "tree": level}.get(name, 0.0) for name in TASK_FEATURES])


def outcome(
    design: Design, task: np.ndarray, *, slower: float = 1.0, worse: float = 0.0
) -> tuple[str, float | None, float]:
    """Verdict, skill and work: words that are left fail at once, boosting takes long, many rows as well."""
    told = dict(zip(TASK_FEATURES, task, strict=True))
    if told["has_words"] and design["words"] == "leave":
        return "error", None, 20.0 * slower
    error = told["linear"] + GOOD[str(design["model"])] - 0.1 * (design["scale"] == "quantile") + worse
    work = 50.0 * math.exp(told["log_rows"] - 5.0) * (10.0 if design["model"] == "boosting" else 1.0)
    return "ok", 1.0 - math.exp(error), work * slower


@functools.cache
def heads(*, bags: int = 2) -> Heads:
    """Fitted to eight tasks of forty programs."""
    rng, rows, tasks = np.random.default_rng(0), [], {}
    for number in range(8):
        name = f"task {number}"
        tasks[name] = features(words=number % 2 == 0, rows=5.0 + number / 2, level=-0.2 * number)
        for design in drawn("regression", 40, seed=number):
            verdict, skill, work = outcome(design, tasks[name], worse=0.02 * rng.standard_normal())
            rows.append({"task": name, **design, "verdict": verdict, "validation_skill": skill, "work_ms": work})
    return fit_heads(pd.DataFrame(rows), tasks, bags=bags)
