"""How long programs work, by a law that reaches beyond the tasks it was fitted to: logarithms of what work is made of.

Within a family of models, work grows as a power of rows, columns, trees and so on; the families have powers of their
own, which one ridge regression finds for all. Trees alone cannot say anything of a task with more rows than they have
seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gedanken.models.attempts.features import TASK_FEATURES
from gedanken.worlds.ml_engineering.pipelines import MODELS
from gedanken.worlds.parameters import Design

_OWN = 8
"""Terms that each family has of its own."""
_SHARED = 12
_RIDGE = 1.0
_TYPICAL = 0.4
"""Residuals beyond this count less: a program that failed at once, or waited for others, says little of its law."""
_ROUNDS = 3


def terms(designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
    """[M, L]: what the logarithm of the work is linear in."""
    told = dict(zip(TASK_FEATURES, task, strict=True))
    rows = np.zeros((len(designs), len(MODELS) * _OWN + _SHARED))
    log_rows, log_columns = told["log_rows"] - 7.0, told["log_columns"]
    # One column a level, where words become numbers that way.
    wide = log_columns + math.log1p(0.5 * told["share_words"] * math.expm1(told["log_levels"]))
    for row, design in zip(rows, designs, strict=True):
        start = MODELS.index(str(design["model"])) * _OWN
        width = (wide if design["words"] == "one_hot" else log_columns) - 2.5
        task_terms = (1.0, log_rows, width, told["log_classes"], told["regression"])
        row[start : start + _OWN] = (*task_terms, *_of_model(design, log_rows))
        row[-_SHARED:] = (
            1.0,
            log_rows,
            log_columns - 2.5,
            told["share_words"],
            design["missing"] != "leave",
            *(design["scale"] == scale for scale in ("standard", "quantile")),
            *(design["words"] == words for words in ("target", "one_hot", "ordinal")),
            *(design["target"] == target for target in ("log", "quantile")),
        )
    return rows


def _of_model(design: Design, log_rows: float) -> tuple[float, float, float]:
    """What the work of a model depends on besides the data."""

    def log(name: str) -> float:
        return math.log(float(design[name]))

    match design["model"]:
        case "boosting" | "lightgbm":
            return log("trees") - 4.5, log("least") - 2.0, log("leaves") - 3.5
        case "forest" | "extra_trees":
            return log("trees") - 4.5, log("least") - 2.0, log("columns")
        case "network":
            return log("hidden") - 4.0, float(design["layers"]) - 1.0, log("rate") + 3.0
        case "neighbours":
            return log("neighbours") - 2.0, 0.0, 0.0
        case _:
            return log("regularisation"), log_rows**2, 0.0


def fit_law(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[N, L] terms and [N] logarithms of work -> [L] weights, by ridge regression with Huber's loss."""
    gram = _RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + gram, x.T @ y)
    for _ in range(_ROUNDS):
        counts = 1.0 / np.maximum(np.abs(y - x @ weights) / _TYPICAL, 1.0)
        weights = np.linalg.solve((x.T * counts) @ x + gram, (x.T * counts) @ y)
    found: np.ndarray = weights
    return found
