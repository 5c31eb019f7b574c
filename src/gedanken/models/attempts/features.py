"""A task and a program of the pipeline space as numbers that are comparable between tasks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from gedanken.worlds.ml_engineering.pipelines import SPACE, relevant
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.parameters import Categorical, Design

TASK_FEATURES = (
    "regression",
    "log_classes",
    "balance",
    "log_rows",
    "log_columns",
    "share_words",
    "log_levels",
    "share_missing",
    "has_words",
    "has_missing",
    "skewness",
    "log_target_fails",
    "linear",
    "tree",
)
"""Of a task, in the order of their columns. `linear` and `tree` are landmarkers: the logarithm of the error, as a share
of that of knowing nothing, that two quick models have on at most a thousand rows."""
_LANDMARK_ROWS = 1_000
LEAST_ERROR = 1e-3


def log_error(skill: np.ndarray | float) -> np.ndarray:
    """A skill as the logarithm of its error: 0 for knowing nothing, below it the better. Ratios of errors count."""
    return np.asarray(np.log(np.maximum(1.0 - np.asarray(skill, np.float64), 0.0) + LEAST_ERROR))


def skill_of(error: np.ndarray | float) -> np.ndarray:
    """The skill that `log_error` was made of."""
    return np.asarray(1.0 + LEAST_ERROR - np.exp(error))


def task_features(task: Task) -> np.ndarray:
    """[T], of the training rows alone: hidden ones tell nothing, not even by their statistics."""
    train = task.frame.iloc[task.split.train]
    rest, truth = train.drop(columns=task.target), task.truth[task.split.train]
    regression = task.kind == "regression"
    words = [name for name in rest if not pd.api.types.is_numeric_dtype(rest[name])]
    shares = np.array([1.0]) if regression else np.bincount(truth) / len(truth)
    missing = float(rest.isna().to_numpy().mean())
    linear, tree = _landmarks(task, rest, truth)
    return np.array(
        [
            regression,
            0.0 if regression else math.log(len(task.classes)),
            1.0 if regression else -float(np.sum(shares * np.log(np.maximum(shares, 1e-12)))) / math.log(len(shares)),
            math.log(len(train)),
            math.log(rest.shape[1]),
            len(words) / rest.shape[1],
            math.log1p(max((rest[name].nunique() for name in words), default=0)),
            missing,
            bool(words),
            missing > 0,
            _skewness(truth) if regression else 0.0,
            regression and float(truth.min()) <= -1.0,
            linear,
            tree,
        ],
        np.float64,
    )


def program_features(designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
    """[M, P]: the programs' parameters, NaN where they are not read; what they leave for their model to cope with.

    Args:
        designs: M programs.
        task: [T], see `task_features`.
    """
    rows = np.empty((len(designs), len(SPACE.parameters) + 2))
    has_words, has_missing = (bool(task[TASK_FEATURES.index(name)]) for name in ("has_words", "has_missing"))
    for row, design in zip(rows, designs, strict=True):
        read = relevant(design)
        for column, parameter in enumerate(SPACE.parameters):
            value = design[parameter.name]
            if isinstance(parameter, Categorical):
                row[column] = parameter.levels.index(str(value))
            else:
                row[column] = parameter.encoded(value)[0] if parameter.name in read else np.nan  # type: ignore[arg-type]
        row[-2] = has_words and design["words"] == "leave"
        row[-1] = has_missing and design["missing"] == "leave"
    return rows


def features(designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
    """[M, P + T]: what the heads across tasks see."""
    return np.hstack([program_features(designs, task), np.tile(task, (len(designs), 1))])


CHOICES = tuple(i for i, parameter in enumerate(SPACE.parameters) if isinstance(parameter, Categorical))
"""The columns of `features` that are choices."""


def _landmarks(task: Task, rest: pd.DataFrame, truth: np.ndarray) -> tuple[float, float]:
    pick = np.random.default_rng(0).permutation(len(rest))[:_LANDMARK_ROWS]
    x, y = rest.iloc[pick], truth[pick]
    words = [name for name in x if not pd.api.types.is_numeric_dtype(x[name])]
    numbers = [name for name in x if name not in words]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers), (encoder, words)
    )
    found = []
    regression = task.kind == "regression"
    for model in (
        (Ridge(), DecisionTreeRegressor(max_depth=6, min_samples_leaf=5, random_state=0))
        if regression
        else (LogisticRegression(max_iter=100), DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=0))
    ):
        pipeline = make_pipeline(prepare, model)
        with warnings.catch_warnings():
            # Neither that it has not converged nor that a class is rare matters to a landmark.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)
            method = "predict" if regression else "predict_proba"
            some = cross_val_predict(pipeline, x, y, cv=3, method=method)
        predicted = some
        if not regression:
            predicted = np.full((len(y), len(task.classes)), 1e-3)
            predicted[:, np.unique(y)] += some  # a rare class may not be among these rows
            predicted /= predicted.sum(1, keepdims=True)
        skill = task.metric.skill(task.metric.score(y, predicted), y, len(task.classes))
        found.append(float(log_error(skill)))
    return found[0], found[1]


def _skewness(values: np.ndarray) -> float:
    spread = float(values.std())
    return float(np.mean(((values - values.mean()) / spread) ** 3)) if spread else 0.0
