"""What is known of programs before a task begins: attempts on the train tasks, made by `tools/ml_attempts.py`."""

from __future__ import annotations

import functools
import io
import json
from importlib.resources import files

import numpy as np
import pandas as pd

from gedanken.models.attempts.features import TASK_FEATURES
from gedanken.models.attempts.heads import Heads, fit_heads

_HERE = files("gedanken.models.attempts")


def known_attempts() -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """A row an attempt (see `fit_heads`), and the features of each of their tasks."""
    attempts = pd.read_parquet(io.BytesIO((_HERE / "known.parquet").read_bytes()))
    described = json.loads((_HERE / "known.json").read_text(encoding="utf-8"))
    if tuple(described["features"]) != TASK_FEATURES:
        raise ValueError("known.json is of other features: make it again with tools/ml_attempts.py")
    return attempts, {name: np.array(row, np.float64) for name, row in described["tasks"].items()}


@functools.cache
def known_heads(*, without: str = "") -> Heads:
    """Heads fitted to what is known, but for one task: what was tried on it before is not to help now."""
    attempts, tasks = known_attempts()
    return fit_heads(attempts[attempts["task"] != without], tasks)
