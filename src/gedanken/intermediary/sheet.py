"""trials.csv: every experiment of a laboratory, as a table that any spreadsheet opens and that is read when edited."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gedanken.agents.experimenter.contract import Forecast
from gedanken.errors import ConfigError, FileError
from gedanken.experience.files import write_text
from gedanken.intermediary.lab_config import LabConfig
from gedanken.intermediary.suggestions import Suggested
from gedanken.worlds.parameters import Value
from gedanken.worlds.science.fidelity import FULL
from gedanken.worlds.science.trials import Trial, TrialState

SHEET = "trials.csv"
_EXPECTED = "expected"


@dataclass(frozen=True)
class Line:
    """A line as somebody left it. number: in the file. id: "" for an experiment that nobody had suggested."""

    number: int
    id: str
    design: Mapping[str, Any]
    results: Mapping[str, float]
    state: TrialState | None
    note: str
    fidelity: float = FULL


def write_sheet(path: Path, config: LabConfig, trials: Sequence[Trial], suggested: Mapping[int, Suggested]) -> None:
    """Writes the table: id, state, parameters, objectives, note; behind them what was expected, and the cost."""
    names = [objective.name for objective in config.objectives]
    resources = sorted(config.prices.resources)
    content = io.StringIO()
    sheet = csv.writer(content, lineterminator="\n")
    expected = [f"{name} {part}" for name in names for part in (_EXPECTED, "low", "high")]
    faithful = ["fidelity"] if config.fidelities is not None else []
    sheet.writerow(["id", "state", *config.space.names, *faithful, *names, "note", *expected, *resources])
    for trial in trials:
        entry = suggested.get(int(trial.id))
        forecasts = [entry.forecasts.get(name) if entry is not None else None for name in names]
        sheet.writerow(
            [
                *(trial.id, trial.state.value),
                *(_told(trial.design[name]) for name in config.space.names),
                *(f"{trial.fidelity:g}" for _ in faithful),
                *(_told(trial.results.get(name, "")) for name in names),
                trial.note,
                *(cell for forecast in forecasts for cell in _foreseen(forecast)),
                *(trial.cost.of(resource) for resource in resources),
            ]
        )
    write_text(path, content.getvalue())


def read_sheet(path: Path, config: LabConfig) -> list[Line]:
    """Reads a table that has at least the parameters and an objective as columns; what was expected is not read.

    Raises:
        FileError: the file cannot be read.
        ConfigError: a column is missing or unknown, or a cell does not hold what its column does.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"The table {path.name} cannot be read.", given=error, expected="a CSV file in UTF-8"
        ) from error
    heads = [head.strip() for head in rows[0]] if rows else []
    names = [objective.name for objective in config.objectives]
    ours = {"id", "state", "note", "fidelity", *config.space.names, *names, *config.prices.resources}
    ours |= {f"{name} {part}" for name in names for part in (_EXPECTED, "low", "high")}
    missing = [name for name in config.space.names if name not in heads]
    unknown = [head for head in heads if head not in ours]
    if missing or unknown or not set(names) & set(heads) or len(set(heads)) < len(heads):
        raise ConfigError(
            f"{path.name} has other columns than this laboratory.",
            given=", ".join(heads) or "an empty file",
            expected=", ".join([*config.space.names, *names]) + ", and maybe id, state, note",
            do=_what_to_do(missing, unknown),
        )
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(heads):
            raise ConfigError(
                f"Line {number} of {path.name} has another number of cells.", given=len(row), expected=len(heads)
            )
        found.append(_line(path, number, dict(zip(heads, (cell.strip() for cell in row), strict=True)), config))
    return found


def _line(path: Path, number: int, cells: Mapping[str, str], config: LabConfig) -> Line:
    where = f"in line {number} of {path.name}"
    try:
        design = config.space.checked({name: cells[name] for name in config.space.names})
    except ConfigError as error:
        raise ConfigError(f"{error.what[:-1]} {where}.", given=error.given, expected=error.expected) from error
    results = {}
    for objective in config.objectives:
        cell = cells.get(objective.name, "")
        if cell:
            try:
                results[objective.name] = float(cell)
            except ValueError as error:
                raise ConfigError(
                    f"{objective.name!r} is no number {where}.",
                    given=repr(cell),
                    expected="a number without its unit, or nothing",
                ) from error
    word = cells.get("state", "").upper()
    if word and word not in TrialState.__members__:
        raise ConfigError(f"There is no such state {where}.", given=word, expected=", ".join(TrialState))
    state = TrialState(word) if word else None
    try:
        fidelity = float(cells.get("fidelity") or FULL)
    except ValueError as error:
        raise ConfigError(f"The fidelity is no number {where}.", given=cells["fidelity"]) from error
    return Line(number, cells.get("id", ""), design, results, state, cells.get("note", ""), fidelity)


def _what_to_do(missing: Sequence[str], unknown: Sequence[str]) -> str:
    parts = [f"add {', '.join(missing)}"] if missing else []
    parts += [f"take out {', '.join(map(repr, unknown))}"] if unknown else []
    return "; ".join(parts) or "name a column after an objective."


def _foreseen(forecast: Forecast | None) -> list[str]:
    return [""] * 3 if forecast is None else [f"{v:.4g}" for v in (forecast.mean, forecast.low, forecast.high)]


def _told(value: Value) -> str:
    return repr(value) if isinstance(value, float) else str(value)
