"""Small tables of returns, and CSV files of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gedanken.evidence.table import COLUMNS, ReturnTable, Row


def rows(
    policies: int = 6, real: int = 4, estimators: tuple[str, ...] = ("imagined",), imagined: int = 8, seed: int = 0
) -> list[Row]:
    """Policies "p0", "p1", ... whose true values are 0, 10, ...; every estimator is 5 too high. Seeds start alike."""
    rng = np.random.default_rng(seed)
    found = []
    for policy in range(policies):
        luck = rng.normal(0.0, 3.0, max(real, imagined))
        for episode in range(real):
            value = 10.0 * policy + luck[episode] + rng.normal(0.0, 1.0)
            found.append(Row(f"p{policy}", "real", episode, 0, float(value)))
        for source in estimators:
            for episode in range(imagined):
                value = 10.0 * policy + 5.0 + luck[episode] + rng.normal(0.0, 1.0)
                found.append(Row(f"p{policy}", source, episode, 0, float(value)))
    return found


def table(**how: object) -> ReturnTable:
    return ReturnTable.of(rows(**how))


def write(path: Path, of: list[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *of])
    return path
