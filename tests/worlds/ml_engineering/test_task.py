import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering.metrics import KINDS, Kind, Metric
from gedanken.worlds.ml_engineering.task import Task
from tests.worlds.ml_engineering.tasks import frame, small, unseen_rows

# --- The split ------------------------------------------------------------------------------------------------------


def parts(task: Task) -> list[np.ndarray]:
    return [task.split.train, task.split.validation, task.split.hidden]


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.integers(50, 200), seed=st.integers(0, 2**31))
def test_each_row_is_in_one_part(kind: Kind, rows: int, seed: int) -> None:
    task = small(kind, rows=rows, seed=seed)
    assert np.array_equal(np.sort(np.concatenate(parts(task))), np.arange(rows))
    assert [len(part) for part in parts(task)[1:]] == pytest.approx([rows / 5] * 2, abs=2)


def test_the_seed_decides() -> None:
    one, again, other = (small("binary", seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(parts(one), parts(again), strict=True))
    assert not np.array_equal(one.split.hidden, other.split.hidden)


@given(counts=st.lists(st.integers(5, 60), min_size=2, max_size=6), seed=st.integers(0, 2**31))
def test_every_class_is_in_every_part(counts: list[int], seed: int) -> None:
    counts = [max(counts[0], 50), 5, *counts[2:]]
    labels = np.repeat([f"c{i}" for i in range(len(counts))], counts)
    given = pd.DataFrame({"x": np.arange(len(labels)), "y": labels})
    task = Task("t", given, "y", "multiclass", Metric.LOG_LOSS, seed=seed)
    for part in parts(task):
        assert set(task.truth[part]) == set(range(len(counts)))
    assert [np.sum(task.truth[part] == 1) for part in parts(task)] == [3, 1, 1]


# --- What a program is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_to_be_foretold_comes_without_the_target(kind: Kind) -> None:
    task = small(kind)
    assert list(task.test) == ["id", "number", "word"]
    assert list(task.train) == ["id", "number", "word", "target"]
    assert np.array_equal(task.test["id"], unseen_rows(task)) and np.array_equal(task.train["id"], task.split.train)
    for told in (task.train, task.test):
        assert np.array_equal(told["number"], task.frame["number"].to_numpy()[told["id"]])


def test_ids_do_not_tell_validation_from_hidden() -> None:
    """Neither of them lies on one side of the other, and both are spread over the test rows in their order."""
    hidden = [
        np.isin(unseen_rows(task), task.split.hidden) for task in (small("regression", seed=s) for s in range(50))
    ]
    shares = np.mean(hidden, axis=0)
    assert np.all((shares > 0.2) & (shares < 0.8))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_of_it_says_nothing_of_the_hidden_rows(kind: Kind) -> None:
    task = small(kind, about="words")
    told = task.described()
    assert json.loads(json.dumps(told)) == told
    assert told["rows"] == {"train": 36, "test": 24} and told["columns"] == {"number": "number", "word": "word"}
    assert told == small(kind, about="words", seed=9).described(), "the same however it is split"
    assert not {"seed", "split", "hidden", "validation"} & set(told)


def test_gaps_are_counted() -> None:
    given = frame("binary")
    given.loc[:6, "number"] = np.nan
    assert small("binary", frame=given).described()["missing"] == {"number": 7}


def test_ids_are_row_numbers_whatever_the_frame_calls_its_rows() -> None:
    given = frame("regression", 80)
    given.index = given.index[::-1] * 7
    task = small("regression", frame=given)
    assert sorted([*task.train["id"], *task.test["id"]]) == list(range(80))
    assert np.array_equal(task.test["number"], given["number"].to_numpy()[unseen_rows(task)])


def test_classes_are_words_in_order() -> None:
    given = frame("binary").assign(target=[1.0, 0.0] * 30)
    task = small("binary", frame=given)
    assert task.classes == ("0.0", "1.0") and task.truth.tolist() == [1, 0] * 30
    given = given.assign(target=np.array([1, "1", 0, "0"] * 15, dtype=object))
    assert small("binary", frame=given).classes == ("0", "1")
    assert small("regression").classes == ()


# --- What makes no sense --------------------------------------------------------------------------------------------


def changed(kind: Kind, **columns: Any) -> dict[str, Any]:
    return {"frame": frame(kind).assign(**columns)}


BAD: dict[str, tuple[Kind, dict[str, Any], str]] = {
    "no target": ("binary", {"target": "price"}, "the target 'price'"),
    "nothing but the target": ("binary", {"frame": frame("binary")[["target"]]}, "nothing to foretell"),
    "everything is missing": ("binary", changed("binary", number=np.nan, word=None), "has no data"),
    "ten rows": ("binary", {"frame": frame("binary", 10)}, "too few rows"),
    "no rows": ("binary", {"frame": frame("binary").iloc[:0]}, "has no data|too few rows"),
    "an id": ("binary", changed("binary", id=1), "none of them 'id'"),
    "columns of one name": (
        "binary",
        {"frame": frame("binary").set_axis(["number", "number", "target"], axis=1)},
        "all names different",
    ),
    "columns without words": ("binary", {"frame": frame("binary").rename(columns={"word": 3})}, "no words"),
    "no kind": ("binary", {"kind": "ranking"}, "of no kind"),
    "a metric of another kind": ("regression", {"metric": Metric.ROC_AUC}, "rmse, mae"),
    "roc_auc of three classes": ("multiclass", {"metric": Metric.ROC_AUC}, "log_loss, accuracy"),
    "a gap in the target": ("regression", changed("regression", target=[np.nan, *range(59)]), "1 rows without"),
    "a gap in the classes": ("binary", changed("binary", target=[None, *["a", "b"] * 29, "a"]), "1 rows without"),
    "one class": ("binary", changed("binary", target="a"), "cannot be classified"),
    "three classes of two": ("binary", changed("binary", target=["a", "b", "c"] * 20), "2 to 2 classes"),
    "a rare class": ("multiclass", changed("multiclass", target=["a"] * 4 + ["b"] * 56), "'a' 4 times"),
    "too many classes": ("multiclass", {"frame": pd.DataFrame({"x": 1, "target": [*range(101)] * 5})}, "2 to 100"),
    "a class called id": ("binary", changed("binary", target=["id", "b"] * 30), "none called 'id'"),
    "words to regress": ("regression", changed("regression", target=["a", "b"] * 30), "cannot be regressed"),
    "infinity": ("regression", changed("regression", target=[np.inf, *range(59)]), "finite numbers"),
    "a constant": ("regression", changed("regression", target=2.0), "not all the same"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_task_that_makes_no_sense_is_refused(what: str) -> None:
    kind, wrong, said = BAD[what]
    with pytest.raises(ConfigError, match=said):
        small(kind, **wrong)
