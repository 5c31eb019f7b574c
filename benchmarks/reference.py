"""Writes what reports compare with, `src/gedanken/report/reference.csv`, from `benchmarks/results/learning.csv`.

    python -m benchmarks.reference

An installed package has no benchmarks beside it, so it carries the few rows its reports need: the returns of SAC of
Stable-Baselines3 with the library's hyperparameters.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from benchmarks.results import RESULTS, read

METHOD = "sb3-sac"
FILE = RESULTS.parent.parent / "src" / "gedanken" / "report" / "reference.csv"


def write(source: Path = RESULTS / "learning.csv", target: Path = FILE) -> int:
    """Returns how many rows were written; where nothing was measured, the file has none."""
    found = [
        (row.world, row.seed, row.paid, f"{row.value:.6g}")
        for row in read(source)
        if row.method == METHOD and row.metric == "return"
    ]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("world", "seed", "paid", "return"))
    lines.writerows(sorted(found))
    target.write_text(text.getvalue())
    return len(found)


if __name__ == "__main__":
    print(f"{FILE.name}: {write()} rows")
