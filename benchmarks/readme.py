"""Writes the tables of README.md and docs/ from the result files, between these two markers:

    <!-- results:NAME -->
    <!-- /results -->

NAME is one of `TABLES` below. Run `python -m benchmarks.readme` after a benchmark; `--check` only says what is stale
(exit status 1), for `make check`. A figure that no result file holds prints as `not measured`.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.results import RESULTS, Row, read
from gedanken.evidence.interval import mean_with_interval

ROOT = RESULTS.parent.parent
NOT_MEASURED = "not measured"

_MARKED = re.compile(r"(<!-- results:(?P<name>[\w-]+) -->\n)(?P<table>.*?)(<!-- /results -->)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line of a table.

    `paid` picks the figures at exactly that many paid steps; without it, each seed's last figure counts.
    """

    label: str
    world: str
    metric: str
    paid: int | None = None


@dataclass(frozen=True)
class Table:
    """What a table shows: one claim of one result file, a line a world, a column a method.

    Attributes:
        topic: the result file.
        claim: whose rows.
        corner: what the first column lists.
        methods: the rows' method -> the column's heading.
        lines: from top to bottom.
        summary: over seeds: the mean and its 95 % interval, or the median and the range.
        counted: what the count behind a figure counts, such as "seeds" or "repeats".
        digits: behind the decimal point.
        ratio: adds a last column: first method / second method.
    """

    topic: str
    claim: str
    corner: str
    methods: Mapping[str, str]
    lines: Sequence[Line]
    summary: Literal["mean", "median"] = "mean"
    counted: str = "seeds"
    digits: int = 0
    ratio: tuple[str, str] | None = None


_LEARNERS = {"gedanken": "Gedanken", "sb3-sac": "SB3 SAC", "sb3-sac-zoo": "SB3 SAC, zoo", "mbrl-mbpo": "mbrl-lib MBPO"}

TABLES: Mapping[str, Table] = {
    "learning": Table(
        topic="learning",
        claim="sample_efficiency",
        corner="mean return after so many paid steps",
        methods=_LEARNERS,
        lines=[
            Line(f"{world}, {paid:,}", world, "return", paid)
            for world, budgets in {
                "InvertedPendulum-v5": (1_500, 3_000, 20_000),
                "Pendulum-v1": (2_000, 3_000, 50_000),
                "Hopper-v5": (50_000,),
                "HalfCheetah-v5": (50_000,),
            }.items()
            for paid in budgets
        ],
    ),
    "updates": Table(
        topic="updates",
        claim="agent_updates",
        corner="SAC updates a second, one thread",
        methods={"gedanken": "Gedanken", "sb3": "SB3", "sbx": "SBX, 100 a call", "sbx-default": "SBX, 1 a call"},
        lines=[
            Line(f"2x{size}, batch {size}", "HalfCheetah-v5", f"updates_per_second_2x{size}_batch{size}")
            for size in (256, 128)
        ],
        summary="median",
        counted="repeats",
        ratio=("gedanken", "sb3"),
    ),
    "imagination": Table(
        topic="imagination",
        claim="imagined_transitions",
        corner="imagined transitions a second, 5 members of 4x200",
        methods={
            "gedanken-1-thread": "Gedanken, 1 thread",
            "mbrl-1-thread": "mbrl-lib, 1 thread",
            "gedanken-2-threads": "Gedanken, 2 threads",
            "mbrl-2-threads": "mbrl-lib, 2 threads",
        },
        lines=[
            Line(f"batch {batch:,}", "HalfCheetah-v5", f"transitions_per_second_batch{batch}")
            for batch in (100, 1_000, 10_000, 100_000)
        ],
        summary="median",
        counted="repeats",
        ratio=("gedanken-1-thread", "mbrl-1-thread"),
    ),
}


@dataclass(frozen=True)
class Args:
    """Writes the tables of README.md and docs/ from benchmarks/results/."""

    check: bool = False
    """Change nothing; say what is stale and exit with 1."""
    files: Sequence[Path] = field(default_factory=lambda: [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    """The files whose tables to write."""


def main(args: Args) -> int:
    stale = []
    for path in args.files:
        old = path.read_text()
        new = fill(old, TABLES, RESULTS, path.name)
        if new != old:
            stale.append(path.name)
            if not args.check:
                path.write_text(new)
    if stale:
        print(f"{'stale' if args.check else 'written'}: {', '.join(stale)}")
    if stale and args.check:
        print("Do: python -m benchmarks.readme")
        return 1
    return 0


def fill(text: str, tables: Mapping[str, Table], results: Path, name: str) -> str:
    """`text` with what stands between its markers made anew.

    Raises:
        ValueError: a marker names no table, or has no end.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["name"] not in tables:
            raise ValueError(f"{name} asks for the table {match['name']!r}; there are {', '.join(tables) or 'none'}")
        return f"{match[1]}{markdown(tables[match['name']], results)}{match[4]}"

    if text.count("<!-- results:") != len(_MARKED.findall(text)):
        raise ValueError(f"{name} has a results marker without an end, or not at the start of its lines")
    return _MARKED.sub(replaced, text)


def markdown(table: Table, results: Path) -> str:
    """The table as Markdown, ending in a newline."""
    rows = [row for row in read(results / f"{table.topic}.csv") if row.claim == table.claim]
    heads = [table.corner, *table.methods.values()]
    if table.ratio:
        heads.append(" / ".join(table.methods[method] for method in table.ratio))
    body = []
    for line in table.lines:
        values = {method: pick(rows, line, method) for method in table.methods}
        cells = [line.label, *(summarise(values[method], table) for method in table.methods)]
        if table.ratio:
            over, under = (centre(values[method], table) for method in table.ratio)
            cells.append(f"{over / under:.2f}" if over is not None and under else NOT_MEASURED)
        body.append(cells)
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def pick(rows: Sequence[Row], line: Line, method: str) -> list[float]:
    """One value a seed: at the paid steps that the line names, or its last."""
    last: dict[int, Row] = {}
    for row in rows:
        if (row.world, row.metric, row.method) != (line.world, line.metric, method):
            continue
        if line.paid is not None and row.paid != line.paid:
            continue
        if row.seed not in last or row.paid >= last[row.seed].paid:
            last[row.seed] = row
    return [last[seed].value for seed in sorted(last)]


def centre(values: Sequence[float], table: Table) -> float | None:
    """The mean or median over seeds; None where nothing was measured."""
    if not values:
        return None
    return statistics.median(values) if table.summary == "median" else statistics.fmean(values)


def summarise(values: Sequence[float], table: Table) -> str:
    """The centre over seeds, the interval or range around it, and the count."""
    middle = centre(values, table)
    if middle is None:
        return NOT_MEASURED
    ends = [min(values), max(values)]
    if table.summary == "mean":
        interval = mean_with_interval(values, seed=0)
        ends = [] if interval.low is None or interval.high is None else [interval.low, interval.high]
    around = f" [{', '.join(_number(end, table) for end in ends)}]" if ends else ""
    counted = table.counted.removesuffix("s") if len(values) == 1 else table.counted
    return f"{_number(middle, table)}{around}, {len(values)} {counted}"


def _number(value: float, table: Table) -> str:
    return f"{round(value, table.digits) + 0.0:,.{table.digits}f}"  # + 0.0: no "-0"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
