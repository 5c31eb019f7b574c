"""A task: data, what is to be foretold of them, and how that is scored.

Its rows are split once, by a seed: a program gets the first part with the target, and the other two without it, mixed,
so that it cannot tell them apart. Of these, validation is what an agent is told, and hidden what only the record is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering.metrics import KINDS, Kind, Metric

ID = "id"
"""The column that numbers the rows of what a program reads and writes."""
PREDICTION = "prediction"
"""The column of a regression's answer."""
_VALIDATION, _HIDDEN = 0.2, 0.2
_LEAST_ROWS = 50
_LEAST_OF_A_CLASS = 5
_MOST_CLASSES = 100


@dataclass(frozen=True, eq=False)
class Task:
    """A task that makes sense.

    Attributes:
        name: of the task.
        frame: a row an example; every column but the target describes it. Its index is not looked at: the id of a row
            is its number.
        target: the column that is to be foretold.
        kind: what that column holds.
        metric: how predictions are scored.
        about, source, licence: words.
        seed: of the split.

    Raises:
        ConfigError: the target is missing, empty, has a single value or too many, there are too few rows, or the metric
            does not fit.
    """

    name: str
    frame: pd.DataFrame
    target: str
    kind: Kind
    metric: Metric
    about: str = ""
    source: str = ""
    licence: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_columns()
        object.__setattr__(self, "frame", self.frame.reset_index(drop=True))
        if self.kind not in KINDS:
            raise ConfigError(f"Task {self.name!r} is of no kind.", given=self.kind, expected=", ".join(KINDS))
        if not self.metric.fits(self.kind):
            fitting = ", ".join(metric for metric in Metric if metric.fits(self.kind))
            raise ConfigError(
                f"Task {self.name!r} cannot be scored by this metric.",
                given=f"{self.metric} for {self.kind}",
                expected=fitting,
            )
        if len(self.frame) < _LEAST_ROWS:
            raise ConfigError(
                f"Task {self.name!r} has too few rows to be split in three.",
                given=len(self.frame),
                expected=f"{_LEAST_ROWS} or more",
            )
        if self.frame[self.target].isna().any():
            raise ConfigError(
                f"Task {self.name!r} does not know its target everywhere.",
                given=f"{int(self.frame[self.target].isna().sum())} rows without {self.target!r}",
                do="leave out the rows whose target is unknown.",
            )
        (self._check_number if self.kind == "regression" else self._check_classes)()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted; none for regression."""
        return () if self.kind == "regression" else tuple(sorted({str(v) for v in self.frame[self.target].unique()}))

    @cached_property
    def truth(self) -> np.ndarray:
        """[N]: the target as numbers; a class is its place in `classes`."""
        if self.kind == "regression":
            return np.asarray(self.frame[self.target].to_numpy(np.float64))
        where = {label: i for i, label in enumerate(self.classes)}
        return np.array([where[str(label)] for label in self.frame[self.target]])

    @cached_property
    def split(self) -> Split:
        """Which rows are what."""
        return _split(self)

    @property
    def train(self) -> pd.DataFrame:
        """What a program learns from: ids and target included."""
        return self.frame.iloc[self.split.train].rename_axis(ID).reset_index()

    @property
    def test(self) -> pd.DataFrame:
        """What a program has to foretell, without the target: validation and hidden rows in the order of their ids."""
        rows = np.sort(np.concatenate([self.split.validation, self.split.hidden]))
        return self.frame.drop(columns=self.target).iloc[rows].rename_axis(ID).reset_index()

    @property
    def columns(self) -> Mapping[str, str]:
        """What describes an example: the name of each column, and whether it holds numbers or words."""
        rest = self.frame.drop(columns=self.target)
        return {str(n): "number" if pd.api.types.is_numeric_dtype(rest[n]) else "word" for n in rest}

    def described(self) -> dict[str, Any]:
        """What a program and an agent are told of it, as plain values."""
        rest = self.frame.drop(columns=self.target)
        return {
            "name": self.name,
            "about": self.about,
            "target": self.target,
            "kind": self.kind,
            "metric": str(self.metric),
            "classes": list(self.classes),
            "columns": dict(self.columns),
            "rows": {"train": len(self.split.train), "test": len(self.frame) - len(self.split.train)},
            "missing": {str(n): int(rest[n].isna().sum()) for n in rest if rest[n].isna().any()},
        }

    def _check_columns(self) -> None:
        names = list(self.frame.columns)
        if not all(isinstance(name, str) for name in names):
            raise ConfigError(f"Task {self.name!r} has columns whose names are no words.", given=names[:20])
        if self.target not in names or len(set(names)) < len(names) or ID in names:
            raise ConfigError(
                f"Task {self.name!r} has not the columns that it needs.",
                given=", ".join(names[:20]),
                expected=f"the target {self.target!r}, all names different, none of them {ID!r}",
            )
        if len(names) < 2:
            raise ConfigError(f"Task {self.name!r} has nothing to foretell its target by.", given=", ".join(names))
        if self.frame.drop(columns=self.target).isna().all(axis=None):
            raise ConfigError(f"Task {self.name!r} has no data.", given="every value is missing but the target's")

    def _check_number(self) -> None:
        values = self.frame[self.target]
        numeric = pd.api.types.is_numeric_dtype(values) and bool(np.isfinite(values.to_numpy(np.float64)).all())
        if not numeric or values.nunique() < 2:
            raise ConfigError(
                f"The target of task {self.name!r} cannot be regressed.",
                given=f"{values.nunique()} different values, such as {values.iloc[0]!r}",
                expected="finite numbers, not all the same",
            )

    def _check_classes(self) -> None:
        counts = self.frame[self.target].map(str).value_counts()
        most = 2 if self.kind == "binary" else _MOST_CLASSES
        if not 2 <= len(counts) <= most or counts.min() < _LEAST_OF_A_CLASS or ID in counts:
            raise ConfigError(
                f"The target of task {self.name!r} cannot be classified.",
                given=", ".join(f"{label!r} {count} times" for label, count in counts.tail(8).items()),
                expected=f"2 to {most} classes with {_LEAST_OF_A_CLASS} rows or more each, none called {ID!r}",
                do="merge rare classes, or leave them out.",
            )


@dataclass(frozen=True)
class Split:
    """Row numbers of each part."""

    train: np.ndarray
    validation: np.ndarray
    hidden: np.ndarray


def _split(task: Task) -> Split:
    """By chance; of classes, each part has its share of every one."""
    rng = np.random.default_rng(task.seed)
    groups = [np.arange(len(task.frame))]
    if task.kind != "regression":
        groups = [np.flatnonzero(task.truth == label) for label in range(len(task.classes))]
    parts: list[list[np.ndarray]] = [[], [], []]
    for group in groups:
        shuffled = rng.permutation(group)
        # At least one row of each class in each part: there are `_LEAST_OF_A_CLASS`.
        validation = max(round(_VALIDATION * len(group)), 1)
        hidden = max(round(_HIDDEN * len(group)), 1)
        ends = (validation, validation + hidden)
        for part, rows in zip(parts, np.split(shuffled, ends), strict=True):
            part.append(rows)
    validation_rows, hidden_rows, train_rows = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train_rows, validation_rows, hidden_rows)
