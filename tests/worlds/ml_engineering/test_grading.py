import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gedanken.worlds.ml_engineering import grading
from gedanken.worlds.ml_engineering.grading import Refused, bootstrap, grade
from gedanken.worlds.ml_engineering.metrics import KINDS, Kind, Metric
from tests.worlds.ml_engineering.tasks import constant, perfect, small, unseen_rows, write

SHARED = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def mixed(kind: Kind) -> pd.DataFrame:
    """Neither perfect nor knowing nothing."""
    task = small(kind)
    answer = 0.7 * perfect(task) + 0.3 * constant(task)
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(answer))[:9]
    answer.iloc[wrong, 1:] = answer.iloc[np.roll(wrong, 1), 1:].to_numpy()
    return answer.assign(id=unseen_rows(task))


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_answer_is_scored_on_each_part(tmp_path: Path, kind: Kind) -> None:
    task, answer = small(kind), mixed(kind)
    write(tmp_path, answer)
    graded = grade(task, tmp_path)
    assert graded.validation != graded.hidden
    by_id = answer.set_index("id")
    for part, told in ((task.split.validation, graded.validation), (task.split.hidden, graded.hidden)):
        wanted = by_id.loc[part].to_numpy()
        wanted = wanted[:, 0] if kind == "regression" else wanted
        assert told.score == pytest.approx(task.metric.score(task.truth[part], wanted))
        assert told.skill == pytest.approx(task.metric.skill(told.score, task.truth[part], len(task.classes)))
    write(tmp_path, perfect(task))
    assert grade(task, tmp_path).hidden.skill == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
@SHARED
@given(data=st.data())
def test_the_order_of_rows_and_columns_makes_no_difference(tmp_path: Path, kind: Kind, data: st.DataObject) -> None:
    task, answer = small(kind), mixed(kind)
    write(tmp_path, answer)
    before = grade(task, tmp_path)
    columns = data.draw(st.permutations(list(answer)))
    write(tmp_path, answer.iloc[data.draw(st.permutations(range(len(answer))))][columns])
    after = grade(task, tmp_path)
    assert (before.validation, before.hidden) == (after.validation, after.hidden)
    assert np.array_equal(before.predicted, after.predicted)


def test_how_programs_write_things(tmp_path: Path) -> None:
    """Ids as floats, columns that nobody asked for, booleans, blank lines, other ends of lines and a BOM."""
    task = small("binary")
    answer = perfect(task)
    written = answer.assign(id=answer["id"].astype(float), no=answer["no"] == 1, yes=answer["yes"] == 1, row=7)
    (tmp_path / "submission.csv").write_bytes(
        b"\xef\xbb\xbf" + written.to_csv(index=True).replace("\n", "\r\n").encode() + b"\r\n\r\n"
    )
    assert grade(task, tmp_path).hidden.skill == 1


def test_probabilities_that_nearly_add_up_are_made_to(tmp_path: Path) -> None:
    task = small("multiclass")
    answer = constant(task)
    write(tmp_path, answer.assign(bad=0.335, fair=0.335, good=0.335))
    assert grade(task, tmp_path).predicted.sum(1) == pytest.approx(1)
    assert grade(task, tmp_path).validation.skill == pytest.approx(0, abs=1e-9)


# --- Answers that are none ------------------------------------------------------------------------------------------


def cell(name: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(answer: pd.DataFrame) -> pd.DataFrame:
        answer = answer.astype(object)
        answer.iloc[3, list(answer).index(name)] = value
        return answer

    return change


BAD: dict[str, tuple[Kind, Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "no ids": ("regression", lambda a: a.drop(columns="id"), "the columns prediction; id, prediction wanted"),
    "another column": ("regression", lambda a: a.rename(columns={"prediction": "y"}), "the columns id, y;"),
    "a class too few": ("multiclass", lambda a: a.drop(columns="fair"), "id, bad, fair, good wanted"),
    "two of a column": ("binary", lambda a: pd.concat([a, a[["no"]]], axis=1), "id, no, yes wanted"),
    "rows are missing": ("regression", lambda a: a.iloc[1:], "has 23 rows; each of the 24 ids"),
    "no rows": ("regression", lambda a: a.iloc[:0], "has 0 rows"),
    "more rows": ("regression", lambda a: pd.concat([a, a]), "more rows than test.csv, which has 24"),
    "an id twice": ("regression", lambda a: a.assign(id=[a["id"][1], *a["id"][1:]]), "each of the 24 ids"),
    "an id of another row": ("regression", lambda a: a.assign(id=[10**6, *a["id"][1:]]), "each of the 24 ids"),
    "an id that is nearly one": ("regression", lambda a: a.assign(id=a["id"] + 0.25), "each of the 24 ids"),
    "an id that is none": ("regression", cell("id", "first"), "'first' is no number"),
    "a missing id": ("regression", cell("id", None), "each of the 24 ids"),
    "NaN": ("regression", cell("prediction", np.nan), "1 predictions are NaN"),
    "nan in words": ("regression", cell("prediction", "nan"), "1 predictions are NaN"),
    "infinity": ("regression", cell("prediction", np.inf), "1 predictions are NaN or infinite"),
    "a number of 400 digits": ("regression", cell("prediction", "1" + "0" * 400), "NaN or infinite"),
    "too large to be squared": ("regression", cell("prediction", 1e300), "too large to be scored"),
    "words": ("regression", cell("prediction", "high"), "'high' is no number"),
    "labels for probabilities": ("binary", lambda a: a.assign(yes="yes"), "'yes' is no number"),
    "below 0": ("binary", lambda a: a.assign(no=-0.5, yes=1.5), "below 0, or do not add up"),
    "not adding up": ("binary", lambda a: a.assign(no=0.5, yes=0.6), "do not add up"),
    "NaN for a class": ("binary", cell("yes", np.nan), "1 predictions are NaN"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_answer_is_refused(tmp_path: Path, what: str) -> None:
    kind, change, said = BAD[what]
    task = small(kind)
    write(tmp_path, change(constant(task)))
    with pytest.raises(Refused, match=said):
        grade(task, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02",
        b"\xff\xfe",
        b"PK\x03\x04 a zip",
        b"id,prediction\n1,2\n1,2,3\n",
        b'id,prediction\n"1,2\n',
        b"id,prediction\n" + b"9" * 200_000 + b",1\n",
        b"id,prediction,\n" * 50,
    ],
)
def test_bytes_that_are_no_answer_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "submission.csv").write_bytes(content)
    with pytest.raises(Refused):
        grade(small("regression"), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"x," * 2_000_000,
        b"id,prediction\n" + b"1," * 2_000_000,
        b"id,prediction\n" + b"1,1\n" * 2_000_000,
        b"id,prediction\n" + b'"' * 4_000_000,
        b"\n" * 4_000_000,
    ],
    ids=["columns", "cells", "rows", "quotes", "lines"],
)
def test_an_answer_that_is_long_to_read_is_refused_soon(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "submission.csv").write_bytes(content)
    began = os.times().user
    with pytest.raises(Refused):
        grade(small("regression"), tmp_path)
    assert os.times().user - began < 3


def test_no_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no submission.csv: No such file"):
        grade(small("binary"), tmp_path)


def test_a_folder_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "submission.csv").mkdir()
    with pytest.raises(Refused, match="is no file"):
        grade(small("binary"), tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    task = small("binary")
    write(tmp_path, perfect(task))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "submission.csv").symlink_to(tmp_path / "submission.csv")
    with pytest.raises(Refused, match="there is no submission.csv"):
        grade(task, tmp_path / "work")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "submission.csv")
    with pytest.raises(Refused, match="is no file"):
        grade(small("binary"), tmp_path)


def test_an_answer_of_any_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = small("binary")
    write(tmp_path, perfect(task))
    size = (tmp_path / "submission.csv").stat().st_size
    monkeypatch.setattr(grading, "_MOST_BYTES", size)
    grade(task, tmp_path)
    monkeypatch.setattr(grading, "_MOST_BYTES", size - 1)
    with pytest.raises(Refused, match=f"has {size:,} bytes, at most {size - 1:,} are read"):
        grade(task, tmp_path)


# --- How sure the hidden score is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_holds_the_score_and_is_the_same_again(tmp_path: Path, kind: Kind) -> None:
    task = small(kind)
    write(tmp_path, mixed(kind))
    graded = grade(task, tmp_path)
    low, high = bootstrap(task, graded, draws=200)
    assert low < graded.hidden.score < high or (kind == "binary" and graded.hidden.score == high == 1)
    assert bootstrap(task, graded, draws=200) == (low, high) != bootstrap(task, graded, draws=200, seed=1)


def test_more_rows_give_a_narrower_interval(tmp_path: Path) -> None:
    widths = []
    for rows in (60, 2_000):
        task = small("regression", rows=rows, metric=Metric.MAE)
        write(tmp_path, constant(task))
        low, high = bootstrap(task, grade(task, tmp_path), draws=200)
        widths.append(high - low)
    assert widths[1] < widths[0] / 3
