"""The kinds of tables made from result files: what a line shows, and how the figures of many seeds become a cell."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Literal, Protocol

from benchmarks.results import Row
from gedanken.evidence.interval import mean_with_interval

NOT_MEASURED = "not measured"


class AnyTable(Protocol):
    """A table of one claim of one result file."""

    @property
    def topic(self) -> str:
        """The result file."""

    @property
    def claim(self) -> str:
        """Whose rows."""

    def heads(self) -> list[str]:
        """The first line, a cell a column."""

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        """The other lines, made of the claim's rows."""


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

    def heads(self) -> list[str]:
        heads = [self.corner, *self.methods.values()]
        return [*heads, " / ".join(self.methods[method] for method in self.ratio)] if self.ratio else heads

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        body = []
        for line in self.lines:
            values = {method: pick(rows, line, method) for method in self.methods}
            cells = [line.label, *(summarise(values[method], self) for method in self.methods)]
            if self.ratio:
                over, under = (centre(values[method], self) for method in self.ratio)
                cells.append(f"{over / under:.2f}" if over is not None and under else NOT_MEASURED)
            body.append(cells)
        return body


@dataclass(frozen=True)
class Goals:
    """How much was paid until a curve first was at a goal: the median over seeds, the range, and how many got there.

    Attributes:
        goals: world -> the value of `metric` that counts.
    """

    topic: str
    claim: str
    corner: str
    methods: Mapping[str, str]
    goals: Mapping[str, float]
    metric: str = "return"

    def heads(self) -> list[str]:
        return [self.corner, *self.methods.values()]

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        return [
            [f"{world}, {goal:,g}", *(self._cell(rows, world, method, goal) for method in self.methods)]
            for world, goal in self.goals.items()
        ]

    def _cell(self, rows: Sequence[Row], world: str, method: str, goal: float) -> str:
        seeds = curves(rows, world, method, self.metric)
        if not seeds:
            return NOT_MEASURED
        there = [first.paid for curve in seeds.values() if (first := reached(curve, goal)) is not None]
        of_all = f"{len(there)} of {counted(seeds)}"
        if not there:
            most = max(row.paid for curve in seeds.values() for row in curve)
            return f"{of_all} within {most:,}"
        ends = f" [{min(there):,}, {max(there):,}]" if len(there) > 1 else ""
        return f"{statistics.median(there):,.0f}{ends}, {of_all}"


@dataclass(frozen=True)
class Correlations:
    """A correlation of each method, with the interval that was measured with it; the mean over seeds, where many.

    Attributes:
        metric: its name; `<metric>_low` and `<metric>_high` are its interval. estimated: the metric that counts what
            it is over. worlds: a line each.
    """

    topic: str
    claim: str
    corner: str
    methods: Mapping[str, str]
    worlds: Sequence[str]
    metric: str
    estimated: str

    def heads(self) -> list[str]:
        return [self.corner, *self.methods.values()]

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        return [[world, *(self._cell(rows, world, method) for method in self.methods)] for world in self.worlds]

    def _cell(self, rows: Sequence[Row], world: str, method: str) -> str:
        counts = last(rows, world, method, self.estimated)
        values, lows, highs = (last(rows, world, method, self.metric + end) for end in ("", "_low", "_high"))
        if not counts:
            return NOT_MEASURED
        if not values:
            return f"not measured: {max(counts.values()):.0f} policies"
        of = f"{statistics.median(counts[seed] for seed in values):.0f} policies, {counted(values)}"
        if not lows.keys() == highs.keys() == values.keys():
            return f"{statistics.fmean(values.values()):.2f}, {of}"
        mean, low, high = (statistics.fmean(each.values()) for each in (values, lows, highs))
        return f"{mean:.2f} [{low:.2f}, {high:.2f}], {of}"


@dataclass(frozen=True)
class Clock:
    """Seconds until ours has the return that the peer had at its last figure, beside the peer's seconds.

    Seed by seed, because the evaluation episodes of a seed start alike for all methods.

    Attributes:
        ours, peer: the methods. worlds: a line each.
    """

    topic: str
    claim: str
    corner: str
    ours: str
    peer: str
    peer_name: str
    worlds: Sequence[str]
    metric: str = "return"

    def heads(self) -> list[str]:
        return [self.corner, "return of the peer", self.peer_name, "Gedanken", "times faster"]

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        return [[world, *self._cells(rows, world)] for world in self.worlds]

    def _cells(self, rows: Sequence[Row], world: str) -> list[str]:
        theirs = {seed: curve[-1] for seed, curve in curves(rows, world, self.peer, self.metric).items()}
        own = curves(rows, world, self.ours, self.metric)
        seeds = [seed for seed in theirs if seed in own]
        if not seeds:
            return [NOT_MEASURED] * 4
        goal = statistics.fmean(theirs[seed].value for seed in seeds)
        took = statistics.median(theirs[seed].seconds for seed in seeds)
        firsts = [reached(own[seed], theirs[seed].value) for seed in seeds]
        there = [first.seconds for first in firsts if first is not None]
        cells = [f"{goal:,.0f}, {counted(seeds)}", f"{took:,.0f} s"]
        if len(there) < len(seeds):
            return [*cells, f"{len(there)} of {counted(seeds)}", NOT_MEASURED]
        ours = statistics.median(there)
        return [
            *cells,
            f"{ours:,.0f} s [{min(there):,.0f}, {max(there):,.0f}], {counted(there)}",
            f"{took / ours:.1f}",
        ]


@dataclass(frozen=True)
class Faults:
    """How often something was tried, and how often each fault was found: sums over all seeds, a line a method.

    Attributes:
        trials: the metric that counts trials. faults: metric -> heading.
    """

    topic: str
    claim: str
    corner: str
    trials: str
    faults: Mapping[str, str]

    def heads(self) -> list[str]:
        return [self.corner, "trials", *self.faults.values()]

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        methods = list(dict.fromkeys(row.method for row in rows if row.metric == self.trials))
        if not methods:
            return [["nothing", *[NOT_MEASURED] * (1 + len(self.faults))]]
        return [
            [method, *(self._sum(rows, method, metric) for metric in (self.trials, *self.faults))] for method in methods
        ]

    def _sum(self, rows: Sequence[Row], method: str, metric: str) -> str:
        found = [row.value for row in rows if (row.method, row.metric) == (method, metric)]
        return f"{sum(found):,.0f}" if found else NOT_MEASURED


@dataclass(frozen=True)
class Acceleration:
    """A line a method: how many times fewer experiments than by chance, over worlds; its forecasts; its time.

    Attributes:
        chance: the method that the others are compared with. worlds: those that count, where a method has figures.
    """

    topic: str
    claim: str
    corner: str
    methods: Mapping[str, str]
    chance: str
    worlds: Sequence[str]

    def heads(self) -> list[str]:
        return [
            self.corner,
            "median over tables",
            "best table",
            "worst table",
            "90 % intervals that held",
            "seconds a suggestion",
        ]

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        return [[heading, *self._cells(rows, method)] for method, heading in self.methods.items()]

    def _cells(self, rows: Sequence[Row], method: str) -> list[str]:
        ratios = {
            world: statistics.median(chance.values()) / statistics.median(ours.values())
            for world in self.worlds
            if (chance := last(rows, world, self.chance, "experiments"))
            and (ours := last(rows, world, method, "experiments"))
        }
        if not ratios:
            return [NOT_MEASURED] * 5
        best, worst = max(ratios, key=ratios.__getitem__), min(ratios, key=ratios.__getitem__)
        sums = [
            sum(sum(last(rows, world, method, metric).values()) for world in ratios)
            for metric in ("inside_90", "forecasts")
        ]
        took = [value for world in ratios for value in last(rows, world, method, "seconds_per_suggestion").values()]
        return [
            f"{statistics.median(ratios.values()):.2f}, {len(ratios)} tables",
            f"{ratios[best]:.2f}, {best}",
            f"{ratios[worst]:.2f}, {worst}",
            f"{sums[0] / sums[1]:.1%} of {sums[1]:,.0f}" if sums[1] else NOT_MEASURED,
            f"{statistics.median(took):.3f}" if took else NOT_MEASURED,
        ]


@dataclass(frozen=True)
class AcrossWorlds:
    """A line a metric, a column a method: the median over worlds of each one's mean over seeds, and their range.

    Attributes:
        lines: the metric's name, and what the line is called. digits: behind the point.
    """

    topic: str
    claim: str
    corner: str
    methods: Mapping[str, str]
    lines: Mapping[str, str]
    worlds: Sequence[str]
    counted: str = "worlds"
    digits: int = 2

    def heads(self) -> list[str]:
        return [self.corner, *self.methods.values()]

    def body(self, rows: Sequence[Row]) -> list[list[str]]:
        return [
            [label, *(self._cell(rows, method, metric) for method in self.methods)]
            for metric, label in self.lines.items()
        ]

    def _cell(self, rows: Sequence[Row], method: str, metric: str) -> str:
        means = [
            statistics.mean(seeds.values()) for world in self.worlds if (seeds := last(rows, world, method, metric))
        ]
        if not means:
            return NOT_MEASURED
        middle, low, high = (
            f"{value:,.{self.digits}f}" for value in (statistics.median(means), min(means), max(means))
        )
        return f"{middle} [{low}, {high}], {counted(means, self.counted)}"


# --- From rows to cells ---------------------------------------------------------------------------------------------


def curves(rows: Sequence[Row], world: str, method: str, metric: str) -> dict[int, list[Row]]:
    """Each seed's figures in the order they were paid for."""
    found: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.paid):
        if (row.world, row.method, row.metric) == (world, method, metric):
            found.setdefault(row.seed, []).append(row)
    return dict(sorted(found.items()))


def last(rows: Sequence[Row], world: str, method: str, metric: str) -> dict[int, float]:
    """Each seed's last figure."""
    return {seed: curve[-1].value for seed, curve in curves(rows, world, method, metric).items()}


def reached(curve: Sequence[Row], goal: float) -> Row | None:
    """The first figure of a curve that is at the goal."""
    return next((row for row in curve if row.value >= goal), None)


def pick(rows: Sequence[Row], line: Line, method: str) -> list[float]:
    """One value a seed: at the paid steps that the line names, or its last."""
    found = curves(rows, line.world, method, line.metric).values()
    at = [[row for row in curve if line.paid in (None, row.paid)] for curve in found]
    return [curve[-1].value for curve in at if curve]


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
    return f"{_number(middle, table)}{around}, {counted(values, table.counted)}"


def counted(things: Sized, name: str = "seeds") -> str:
    """How many, in words: "1 seed", "3 seeds"."""
    return f"{len(things)} {name.removesuffix('s') if len(things) == 1 else name}"


def _number(value: float, table: Table) -> str:
    return f"{round(value, table.digits) + 0.0:,.{table.digits}f}"  # + 0.0: no "-0"
