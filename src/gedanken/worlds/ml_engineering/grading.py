"""Grading what a program has left behind, in a process that it cannot reach: its answer is data from a stranger."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gedanken.worlds.ml_engineering.task import ID, PREDICTION, Task

SUBMISSION = "submission.csv"
_MOST_BYTES = 64 << 20
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
        Refused: there is none, or it is not one: rows or columns are missing, a value is no finite number.
    """
    predicted = _predicted(task, _read(folder / SUBMISSION))
    rows = np.sort(np.concatenate([task.split.validation, task.split.hidden]))

    def scored(part: np.ndarray) -> Score:
        truth, answer = task.truth[part], predicted[np.searchsorted(rows, part)]
        score = task.metric.score(truth, answer)
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


def _read(path: Path) -> pd.DataFrame:
    try:
        # Neither followed out of the folder, nor waited for, nor of any size.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"there is no {SUBMISSION}: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise Refused(f"{SUBMISSION} is no file")
        if about.st_size > _MOST_BYTES:
            raise Refused(f"{SUBMISSION} has {about.st_size >> 20} MB, {_MOST_BYTES >> 20} are read")
        content = file.read(_MOST_BYTES)
    try:
        return pd.read_csv(io.BytesIO(content))
    except Exception as error:  # whatever a parser makes of a stranger's bytes
        raise Refused(f"{SUBMISSION} is no CSV: {' '.join(str(error).split())[:200]}") from error


def _predicted(task: Task, frame: pd.DataFrame) -> np.ndarray:
    wanted = list(task.classes) or [PREDICTION]
    frame.columns = [str(name) for name in frame.columns]
    if ID not in frame or any(list(frame.columns).count(name) != 1 for name in wanted):
        raise Refused(
            f"{SUBMISSION} has the columns {', '.join(frame.columns)[:200]}; {ID}, {', '.join(wanted)} wanted"
        )
    rows = np.sort(np.concatenate([task.split.validation, task.split.hidden]))
    if len(frame) != len(rows) or set(frame[ID]) != set(rows.tolist()):
        raise Refused(f"{SUBMISSION} has {len(frame)} rows; each of the {len(rows)} ids of test.csv once wanted")
    frame = frame.set_index(ID).loc[rows]
    try:
        values = frame[wanted].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise Refused(f"a prediction is no number: {' '.join(str(error).split())[:200]}") from error
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).any(1).sum())
        raise Refused(f"{count} predictions are NaN or infinite")
    if task.kind == "regression":
        return np.asarray(values[:, 0])
    sums = values.sum(1)
    if (values < 0).any() or (np.abs(sums - 1) > _SUM_SLACK).any():
        raise Refused("probabilities are below 0, or do not add up to 1 in each row")
    return np.asarray(values / sums[:, None])
