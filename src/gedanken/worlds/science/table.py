"""Tables of measured experiments: the ones that ship with the library, and anybody's CSV.

A table's rows are measurements; those of equal designs are replicates, and keep their spread.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gedanken.errors import ConfigError, FileError
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Continuous, Design, Integer, Parameter
from gedanken.worlds.science.trials import Objective

_TABLES = files("gedanken.worlds.science") / "tables"
_MOST_LEVELS = 50
"""A column of words with more different ones than this is a name or a comment, and no choice."""


@dataclass(frozen=True, eq=False)
class MeasuredTable:
    """What was measured where.

    designs: N of them, replicates repeated. results: [N, K], a column an objective. about, publication, licence: words
    about where it comes from.
    """

    name: str
    space: DesignSpace
    objectives: tuple[Objective, ...]
    designs: tuple[Design, ...]
    results: np.ndarray
    about: str = ""
    publication: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.results.shape != (len(self.designs), len(self.objectives)) or not self.designs:
            raise ConfigError(
                f"Table {self.name!r} does not fit together.",
                given=f"results {self.results.shape}",
                expected=(len(self.designs), len(self.objectives)),
            )

    @cached_property
    def replicates(self) -> Mapping[tuple[Any, ...], list[int]]:
        """The rows of each design, by the design's values."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for row, design in enumerate(self.designs):
            found.setdefault(self.place(design), []).append(row)
        return found

    @cached_property
    def pool(self) -> tuple[Design, ...]:
        """The designs that were measured, each once."""
        return tuple(self.designs[rows[0]] for rows in self.replicates.values())

    def place(self, design: Design) -> tuple[Any, ...]:
        """What tells a design from others: its values, numbers to nine digits."""
        values = (design[name] for name in self.space.names)
        return tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in values)

    def mean(self, objective: int = 0) -> np.ndarray:
        """[P]: the mean over replicates of each design of the pool."""
        return np.array([self.results[rows, objective].mean() for rows in self.replicates.values()])


# --- Those that ship with the library -------------------------------------------------------------------------------


def catalogue() -> dict[str, dict[str, Any]]:
    """What is known of each table that ships with the library: parameters, objectives, source, licence."""
    found: dict[str, dict[str, Any]] = json.loads((_TABLES / "catalogue.json").read_text(encoding="utf-8"))
    return found


def shipped(name: str) -> MeasuredTable:
    """One of the tables of `catalogue()`.

    Raises:
        ConfigError: there is none of this name.
        FileError: it is not the file that the catalogue speaks of.
    """
    known = catalogue()
    if name not in known:
        raise ConfigError("There is no such table.", given=repr(name), expected=", ".join(known))
    entry = known[name]
    content = (_TABLES / f"{name}.parquet").read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise FileError(f"The table {name!r} is damaged.", expected=f"sha256 {entry['sha256']}", do="install again.")
    columns = pq.read_table(io.BytesIO(content)).to_pydict()
    space = DesignSpace.from_json({"parameters": entry["parameters"]})
    objectives = tuple(Objective(**one) for one in entry["objectives"])
    designs = tuple(
        space.checked(dict(zip(space.names, values, strict=True)))
        for values in zip(*(columns[n] for n in space.names), strict=True)
    )
    results = np.array([columns[objective.name] for objective in objectives], np.float64).T
    words = {key: entry[key] for key in ("about", "publication", "licence")}
    return MeasuredTable(name, space, objectives, designs, results, **words)


# --- Anybody's ------------------------------------------------------------------------------------------------------


def from_csv(path: Path, objectives: Sequence[Objective], *, ignore: Sequence[str] = ()) -> MeasuredTable:
    """Reads a table of experiments. Every other column is a parameter, whose kind is guessed from its cells.

    Whole numbers of at least three different values become integers, other numbers continuous, words choices; `low` and
    `high` are those of the column. A column that never changes is left out.

    Raises:
        FileError: the file cannot be read.
        ConfigError: an objective has no column, a cell is empty or no number where the rest of its column are, a result
            is NaN, or nothing is left to vary.
    """
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"The table {path.name} cannot be read.", given=error, expected="a CSV file in UTF-8"
        ) from error
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        raise ConfigError(f"The table {path.name} is empty.", expected="a line of headers and a line an experiment")
    heads = [head.strip() for head in lines[0]]
    if len(set(heads)) < len(heads) or "" in heads:
        raise ConfigError(f"The headers of {path.name} are not distinct.", given=", ".join(heads))
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(heads):
            raise ConfigError(
                f"Line {number} of {path.name} has another number of cells.", given=len(line), expected=len(heads)
            )
    columns = {head: [line[i].strip() for line in lines[1:]] for i, head in enumerate(heads)}
    names = [objective.name for objective in objectives]
    if missing := [name for name in (*names, *ignore) if name not in columns]:
        raise ConfigError(
            f"{path.name} has no such column.", given=", ".join(map(repr, missing)), expected=", ".join(heads)
        )
    results = np.array([_numbers(path, name, columns[name]) for name in names]).T
    rest = {head: cells for head, cells in columns.items() if head not in (*names, *ignore) and len(set(cells)) > 1}
    if not rest:
        raise ConfigError(f"Nothing varies in {path.name} but its results.", given=", ".join(heads))
    space = DesignSpace(tuple(_guessed(path, head, cells) for head, cells in rest.items()))
    designs = tuple(space.checked(dict(zip(rest, cells, strict=True))) for cells in zip(*rest.values(), strict=True))
    return MeasuredTable(path.stem, space, tuple(objectives), designs, results, about=f"from {path.name}")


def _guessed(path: Path, name: str, cells: Sequence[str]) -> Parameter:
    numbers = [_number(cell) for cell in cells]
    known = [number for number in numbers if number is not None]
    if 0 < len(known) < len(cells) and len(known) > len(cells) // 2:
        odd = next(i for i, number in enumerate(numbers) if number is None)
        raise ConfigError(
            f"Column {name!r} of {path.name} holds numbers, but for line {odd + 2}.",
            given=repr(cells[odd]),
            expected="a number",
            do="mend the cell, or name the column in `ignore`.",
        )
    if not known:
        levels = tuple(sorted(set(cells)))
        if "" in levels or len(levels) > _MOST_LEVELS:
            raise ConfigError(
                f"Column {name!r} of {path.name} is no choice.",
                given="an empty cell" if "" in levels else f"{len(levels)} different words",
                expected=f"at most {_MOST_LEVELS} levels, none empty",
                do="name the column in `ignore`, if it does not describe the experiment.",
            )
        return Categorical(name, levels)
    low, high = min(known), max(known)
    if len(set(known)) > 2 and all(number == int(number) for number in known) and not any("." in c for c in cells):
        return Integer(name, int(low), int(high))
    return Continuous(name, low, high)


def _numbers(path: Path, name: str, cells: Sequence[str]) -> list[float]:
    numbers = [_number(cell) for cell in cells]
    for line, number in enumerate(numbers, 2):
        if number is None:
            raise ConfigError(
                f"Column {name!r} of {path.name} has no result in line {line}.",
                given=repr(cells[line - 2]),
                expected="a finite number",
                do="leave out experiments without a result.",
            )
    return [number for number in numbers if number is not None]


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
