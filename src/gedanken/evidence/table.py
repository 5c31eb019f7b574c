"""Returns of many policies from many sources, for people who bring only numbers: one CSV file, read strictly.

The columns are `policy, source, seed, episode, return`. A source is `real`, `imagined`, or the name of any other
estimator (a simulator, fitted Q evaluation, ...). Rows of one policy that share seed and episode started alike,
whatever their source, and are compared in pairs. Other columns are left unread.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from gedanken.errors import ConfigError, FileError

COLUMNS = ("policy", "source", "seed", "episode", "return")
REAL = "real"

Floats = NDArray[np.float64]


class Start(NamedTuple):
    """What an episode began with: rows of one policy with the same are pairs."""

    seed: int
    episode: int


class Row(NamedTuple):
    """One episode's return."""

    policy: str
    source: str
    seed: int
    episode: int
    value: float


class Pairs(NamedTuple):
    """Returns of one policy from the world and from a source, be it imagined or not.

    real, imagined: [N] of episodes that started alike, in the order of the real ones; more_imagined: [M] of the source
    alone.
    """

    real: Floats
    imagined: Floats
    more_imagined: Floats


@dataclass(frozen=True)
class ReturnTable:
    """Returns by policy and source.

    Attributes:
        episodes: (policy, source) -> start -> return, in the order they were given.
    """

    episodes: Mapping[tuple[str, str], Mapping[Start, float]]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> ReturnTable:
        """A table of rows.

        Raises:
            ConfigError: a name is empty, a return is not finite, an episode is there twice, or nothing is real.
        """
        episodes: dict[tuple[str, str], dict[Start, float]] = {}
        for number, row in enumerate(rows, 1):
            _add(episodes, row, f"row {number}")
        return cls(_with_real(episodes, "the rows"))

    @property
    def policies(self) -> tuple[str, ...]:
        """Every policy, in the order of its first row."""
        return tuple(dict.fromkeys(policy for policy, _ in self.episodes))

    @property
    def estimators(self) -> tuple[str, ...]:
        """Every source but the world, in the order of its first row."""
        return tuple(dict.fromkeys(source for _, source in self.episodes if source != REAL))

    @property
    def rows(self) -> list[Row]:
        """What `of` was given, ordered by policy and source."""
        return [
            Row(policy, source, start.seed, start.episode, value)
            for (policy, source), episodes in self.episodes.items()
            for start, value in episodes.items()
        ]

    def returns(self, policy: str, source: str) -> Floats:
        """[N] returns of a policy from a source; empty where there is none."""
        return np.array(list(self.episodes.get((policy, source), {}).values()), np.float64)

    def shared(self, source: str) -> tuple[str, ...]:
        """The policies that have real returns and returns of this source."""
        return tuple(policy for policy in self.policies if {(policy, REAL), (policy, source)} <= self.episodes.keys())

    def pairs(self, policy: str, source: str) -> Pairs:
        """A policy's real returns beside those of a source that started alike."""
        real, other = (self.episodes.get((policy, name), {}) for name in (REAL, source))
        starts = [start for start in real if start in other]
        return Pairs(
            real=np.array([real[start] for start in starts], np.float64),
            imagined=np.array([other[start] for start in starts], np.float64),
            more_imagined=np.array([value for start, value in other.items() if start not in real], np.float64),
        )


def read_returns(path: Path | str) -> ReturnTable:
    """Reads a CSV file of returns.

    Raises:
        FileError: there is no such file.
        ConfigError: it is no table of returns; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError("There is no such table.", given=path, expected=f"a CSV file with the columns {_listed()}")
    lines = csv.reader(_text(path).splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        at = _positions(header, path)
        episodes: dict[tuple[str, str], dict[Start, float]] = {}
        for cells in lines:
            if not cells:
                continue
            where = f"{path.name}, line {lines.line_num}"
            if len(cells) != len(header):
                raise ConfigError(
                    "A line of the table has another length than the header.",
                    given=f"{len(cells)} cells in {where}",
                    expected=f"{len(header)}",
                )
            _add(episodes, _row([cells[position].strip() for position in at], where), where)
    except csv.Error as error:
        raise ConfigError("The table is no CSV.", given=f"{path.name}, line {lines.line_num}: {error}") from error
    return ReturnTable(_with_real(episodes, path.name))


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            "The table is not encoded as UTF-8.",
            given=f"{path.name}: byte {error.start} is 0x{error.object[error.start]:02x}",
            expected="UTF-8",
            do="save it as UTF-8, for example with `iconv -f LATIN1 -t UTF-8`.",
        ) from None
    if "\0" in text:
        raise ConfigError(
            "The table holds zero bytes, as files in UTF-16 do.", given=path.name, do="save it as CSV in UTF-8."
        )
    if not text.strip():
        raise ConfigError("The table is empty.", given=path.name, expected=f"the columns {_listed()}")
    return text


def _positions(header: list[str], path: Path) -> list[int]:
    """Where each of `COLUMNS` is in the header."""
    repeated = sorted({name for name in header if name in COLUMNS and header.count(name) > 1})
    if repeated:
        raise ConfigError("A column is there twice.", given=f"{', '.join(repeated)} in {path.name}")
    missing = [name for name in COLUMNS if name not in header]
    if not missing:
        return [header.index(name) for name in COLUMNS]
    near = [found[0] for name in missing if (found := difflib.get_close_matches(name, header, n=1))]
    do = f"rename {' and '.join(repr(name) for name in near)}." if near else "name the columns in the first line."
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        do = "separate the cells with commas."
    raise ConfigError(
        f"The table lacks {'a column' if len(missing) == 1 else 'columns'}: {', '.join(missing)}.",
        given=f"{path.name} begins with {','.join(header)[:80]!r}",
        expected=_listed(),
        do=do,
    )


def _row(cells: list[str], where: str) -> Row:
    policy, source, seed, episode, value = cells
    return Row(policy, source, _whole("seed", seed, where), _whole("episode", episode, where), _number(value, where))


def _whole(column: str, cell: str, where: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise ConfigError(
            f"The column {column!r} needs a whole number.", given=f"{cell!r} in {where}", expected="such as 0"
        ) from None


def _number(cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ConfigError("A return is no number.", given=f"{cell!r} in {where}", expected="such as -12.5") from None


def _add(episodes: dict[tuple[str, str], dict[Start, float]], row: Row, where: str) -> None:
    if not row.policy or not row.source:
        raise ConfigError("A policy or a source has no name.", given=where)
    if row.source != REAL and row.source.lower() == REAL:
        raise ConfigError("The world's source is written in small letters.", given=f"{row.source!r} in {where}")
    if not math.isfinite(row.value):
        raise ConfigError(
            "A return is not finite.",
            given=f"{row.value} of {row.policy!r} in {where}",
            expected="a number",
            do="leave out episodes that were not measured; an episode that failed has the return it failed with.",
        )
    known, start = episodes.setdefault((row.policy, row.source), {}), Start(row.seed, row.episode)
    if start in known:
        raise ConfigError(
            "An episode is there twice.",
            given=f"{where}: policy {row.policy!r}, source {row.source!r}, seed {row.seed}, episode {row.episode}",
            expected="each seed and episode once a policy and source",
        )
    known[start] = row.value


def _with_real(
    episodes: Mapping[tuple[str, str], Mapping[Start, float]], where: str
) -> Mapping[tuple[str, str], Mapping[Start, float]]:
    if not episodes:
        raise ConfigError("The table holds no returns.", given=where, expected="a line an episode")
    if all(source != REAL for _, source in episodes):
        _refuse_without_real(episodes, where)
    return episodes


def _refuse_without_real(episodes: Mapping[tuple[str, str], object], where: str) -> NoReturn:
    sources = sorted({source for _, source in episodes})
    raise ConfigError(
        "Nothing in the table is real, so nothing can be judged.",
        given=f"{where} has the sources {', '.join(sources)}",
        expected=f"some rows with the source {REAL!r}",
        do="call what was measured in the world (or in the simulator that stands for it) real.",
    )


def _listed() -> str:
    return ", ".join(COLUMNS)
