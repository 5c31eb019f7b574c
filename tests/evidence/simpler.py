"""SIMPLER's nine tables of success rates; see tests/data/README.md for their source."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

PATH = Path(__file__).parent.parent / "data" / "simpler_success_rates.csv"


class Table(NamedTuple):
    """One task: policies, and their success rates [P]."""

    policies: tuple[str, ...]
    real: np.ndarray
    imagined: np.ndarray


def tables() -> dict[str, Table]:
    """Task -> table."""
    with PATH.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        of = [row for row in rows if row["task"] == task]
        rates = (np.array([float(row[side]) for row in of]) for side in ("real", "imagined"))
        found[task] = Table(tuple(row["policy"] for row in of), *rates)
    return found
