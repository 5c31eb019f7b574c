import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.models.attempts.features import (
    TASK_FEATURES,
    features,
    log_error,
    program_features,
    skill_of,
    task_features,
)
from gedanken.worlds.ml_engineering.metrics import Metric
from gedanken.worlds.ml_engineering.pipelines import SPACE, drawn, sensible
from gedanken.worlds.ml_engineering.task import Task


def task(**changed: object) -> Task:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200)
    frame = pd.DataFrame(
        {"x": x, "word": rng.choice(["a", "b", "c"], 200), "y": 2 * x + 0.1 * rng.standard_normal(200)}
    )
    frame.loc[::10, "word"] = None
    return Task(**{"name": "t", "frame": frame, "target": "y", "kind": "regression", "metric": Metric.RMSE, **changed})  # type: ignore[arg-type]


def named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(TASK_FEATURES, row, strict=True))


@given(st.floats(-50, 1))
def test_a_skill_and_its_error_are_the_same(skill: float) -> None:
    assert float(skill_of(log_error(skill))) == pytest.approx(skill, abs=1e-9)


def test_a_task_is_described_by_its_training_rows() -> None:
    found = named(task_features(task()))
    assert found["regression"] == found["has_words"] == found["has_missing"] == 1
    assert found["log_rows"] == pytest.approx(math.log(120)) and found["share_words"] == 0.5
    assert found["linear"] < -2  # the target is next to linear in x
    assert found["log_target_fails"] == 1  # below -1, log1p is not defined


def test_what_is_hidden_changes_nothing() -> None:
    one = task()
    other = one.frame.copy()
    unseen = np.concatenate([one.split.validation, one.split.hidden])
    other.loc[unseen, "y"] += 1_000
    other.loc[unseen, "x"] = np.nan
    np.testing.assert_array_equal(task_features(one), task_features(task(frame=other)))


def test_classes_are_counted_and_weighed() -> None:
    labels = np.where(np.arange(200) % 4 == 0, "yes", "no")
    frame = pd.DataFrame({"x": np.arange(200.0), "y": labels})
    found = named(task_features(task(frame=frame, kind="binary", metric=Metric.ROC_AUC)))
    assert found["log_classes"] == pytest.approx(math.log(2)) and 0.7 < found["balance"] < 0.9
    assert found["regression"] == found["has_words"] == 0


def test_a_program_is_what_its_model_reads() -> None:
    row = task_features(task())
    linear, *_ = sensible("regression")
    (found,) = program_features([linear], row)
    trees = SPACE.names.index("trees")
    assert np.isnan(found[trees]) and not np.isnan(found[SPACE.names.index("regularisation")])
    assert found[-2:].tolist() == [0, 0]
    (careless,) = program_features([{**linear, "words": "leave", "missing": "leave"}], row)
    assert careless[-2:].tolist() == [1, 1]


def test_heads_see_program_and_task() -> None:
    row = task_features(task())
    found = features(drawn("regression", 5, seed=0), row)
    assert found.shape == (5, len(SPACE.parameters) + 2 + len(TASK_FEATURES))
    np.testing.assert_array_equal(found[:, -len(TASK_FEATURES) :], np.tile(row, (5, 1)))
