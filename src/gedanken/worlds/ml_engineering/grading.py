"""Grading what a program has left behind, in a process that it cannot reach: its answer is data from a stranger."""

from __future__ import annotations

import csv
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gedanken.worlds.ml_engineering.task import ID, PREDICTION, Task

SUBMISSION = "submission.csv"
_MOST_BYTES = 64 << 20
_MOST_COLUMNS = 1_000
_SUM_SLACK = 0.01
"""How far probabilities of a row may be from adding up to 1, which they are then made to."""


@dataclass(frozen=True)
class Score:
    """In the metric's own units, and as a skill (`Metric.skill`)."""

    score: float
    skill: float


@dataclass(frozen=True, eq=False)
class Graded:
    """An answer that could be graded. predicted: of the test rows by their ids, as `Metric.score` takes them."""

    validation: Score
    hidden: Score
    predicted: np.ndarray


class Refused(Exception):
    """An answer that cannot be graded; why."""


def grade(task: Task, folder: Path) -> Graded:
    """Grades the answer that lies in a folder.

    Raises:
        Refused: there is none, or it is not one: rows or columns are missing, a value is no finite number or so large
            that it has no score.
    """
    predicted = _predicted(task, content_of(folder / SUBMISSION, most=_MOST_BYTES))
    rows = np.sort(np.concatenate([task.split.validation, task.split.hidden]))

    def scored(part: np.ndarray) -> Score:
        truth, answer = task.truth[part], predicted[np.searchsorted(rows, part)]
        with np.errstate(over="ignore"):
            score = task.metric.score(truth, answer)
        if not np.isfinite(score):
            raise Refused(f"predictions up to {np.abs(predicted).max():.3g} are too large to be scored")
        return Score(score, task.metric.skill(score, truth, len(task.classes)))

    return Graded(scored(task.split.validation), scored(task.split.hidden), predicted)


def bootstrap(task: Task, graded: Graded, *, draws: int = 1_000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the hidden score over rows drawn again (Efron's percentiles), in the metric's own units."""
    rows = np.sort(np.concatenate([task.split.validation, task.split.hidden]))
    truth = task.truth[task.split.hidden]
    answer = graded.predicted[np.searchsorted(rows, task.split.hidden)]
    rng, scores = np.random.default_rng(seed), []
    for _ in range(draws):
        pick = rng.integers(len(truth), size=len(truth))
        if task.kind != "binary" or len(np.unique(truth[pick])) == 2:
            scores.append(task.metric.score(truth[pick], answer[pick]))
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)


def content_of(path: Path, *, most: int) -> bytes:
    """What is in a file that a stranger left: not followed out of the folder, nor waited for, nor of any size.

    Raises:
        Refused: there is none, it is no file, or it has more than `most` bytes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"there is no {path.name}: {error.strerror}") from error
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise Refused(f"{path.name} is no file")
        if about.st_size > most:
            raise Refused(f"{path.name} has {about.st_size:,} bytes, at most {most:,} are read")
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(handle)


def _predicted(task: Task, content: bytes) -> np.ndarray:
    wanted = list(task.classes) or [PREDICTION]
    rows = np.sort(np.concatenate([task.split.validation, task.split.hidden]))
    ids, values = _table(content, wanted, len(rows))
    order = np.argsort(ids)
    if not np.array_equal(ids[order], rows):
        raise Refused(f"{SUBMISSION} has {len(ids)} rows; each of the {len(rows)} ids of test.csv once wanted")
    values = values[order]
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).any(1).sum())
        raise Refused(f"{count} predictions are NaN or infinite")
    if task.kind == "regression":
        return np.asarray(values[:, 0])
    sums = values.sum(1)
    if (values < 0).any() or (np.abs(sums - 1) > _SUM_SLACK).any():
        raise Refused("probabilities are below 0, or do not add up to 1 in each row")
    return np.asarray(values / sums[:, None])


def _table(content: bytes, wanted: list[str], most_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids [N] and the wanted columns [N, C] of a CSV. Not by pandas, which a long header keeps busy for minutes."""
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = next(lines, [])
        if len(header) > _MOST_COLUMNS or any(header.count(name) != 1 for name in (ID, *wanted)):
            raise Refused(
                f"{SUBMISSION} has the columns {', '.join(header[:50])[:200]}; {ID}, {', '.join(wanted)} wanted"
            )
        places = [header.index(name) for name in (ID, *wanted)]
        found: list[list[float]] = []
        for line in filter(None, lines):
            if len(line) != len(header):
                raise Refused(f"line {lines.line_num} of {SUBMISSION} has {len(line)} values, {len(header)} wanted")
            if len(found) == most_rows:
                raise Refused(f"{SUBMISSION} has more rows than test.csv, which has {most_rows}")
            found.append([_number(line[place]) for place in places])
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"{SUBMISSION} is no CSV: {error}") from error
    table = np.array(found).reshape(-1, len(places))
    return table[:, 0], table[:, 1:]


def _number(cell: str) -> float:
    try:
        return {"": np.nan, "False": 0.0, "True": 1.0}[cell] if cell in ("", "False", "True") else float(cell)
    except ValueError as error:
        raise Refused(f"{cell[:50]!r} is no number") from error
