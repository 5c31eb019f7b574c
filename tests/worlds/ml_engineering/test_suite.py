import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gedanken.errors import ConfigError, FileError
from gedanken.worlds.ml_engineering import suite
from gedanken.worlds.ml_engineering.metrics import Kind, Metric
from gedanken.worlds.ml_engineering.suite import catalogue, find_task, from_folder, names, shipped
from gedanken.worlds.ml_engineering.task import Task
from tests.worlds.ml_engineering.tasks import frame

# --- Shipped --------------------------------------------------------------------------------------------------------


def as_read(given: pd.DataFrame) -> pd.DataFrame:
    """As a program gets it, through a CSV."""
    return pd.read_csv(io.StringIO(given.to_csv(index=False)))


@pytest.mark.parametrize("name", catalogue())
def test_a_shipped_task_is_what_its_catalogue_says(name: str) -> None:
    task, entry = shipped(name), catalogue()[name]
    assert 150 <= len(task.frame) == entry["rows"] <= 50_000
    assert (task.target, task.kind, task.metric) == (entry["target"], entry["kind"], entry["metric"])
    assert task.about and task.source and task.licence
    assert not set(entry["left_out"]) & set(task.frame)


@pytest.mark.parametrize("name", catalogue())
def test_a_shipped_task_is_the_same_once_it_was_written_and_read(name: str) -> None:
    task = shipped(name)
    for given in (task.train, task.test):
        seen = as_read(given)
        kinds = {n: "number" if pd.api.types.is_numeric_dtype(seen[n]) else "word" for n in task.columns}
        assert kinds == task.columns
        assert seen.isna().sum().to_dict() == given.isna().sum().to_dict()
    if task.classes:
        assert set(as_read(task.train)[task.target].astype(str)) == set(task.classes)


@pytest.mark.parametrize("name", ["wine", "fgl"])
def test_ids_tell_nothing_of_the_target(name: str) -> None:
    """These come sorted by class: were they left so, the neighbours of a row would give it away."""
    task = shipped(name)
    before = task.truth[np.roll(task.split.train, 1)]
    same = np.mean(task.truth[task.split.train] == before)
    assert same < 0.5, f"{same:.0%} of the training rows are of the class of the row before"


def test_there_are_enough_of_them_and_no_task_is_in_two_groups() -> None:
    learned, held_out = names("train"), names("held-out")
    assert len(names()) >= 24 and len(held_out) >= 8
    assert sorted([*learned, *held_out]) == sorted(names()) == sorted(catalogue())
    assert not set(learned) & set(held_out)
    assert {catalogue()[name]["kind"] for name in held_out} == {"binary", "multiclass", "regression"}
    files = [entry["sha256"] for entry in catalogue().values()]
    assert len(set(files)) == len(files)


def test_a_damaged_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue()
    known["wine"]["sha256"] = "0" * 64
    monkeypatch.setattr(suite, "catalogue", lambda: known)
    with pytest.raises(FileError, match="damaged"):
        shipped("wine")


@pytest.mark.parametrize("find", [shipped, find_task])
def test_an_unknown_task_is_told_with_those_there_are(find: object) -> None:
    with pytest.raises(ConfigError, match="breast_cancer"):
        find("titanic")  # type: ignore[operator]


# --- Anybody's ------------------------------------------------------------------------------------------------------


def folder(where: Path, toml: str, data: pd.DataFrame | bytes | None = None) -> Path:
    (where / "task.toml").write_text(toml, encoding="utf-8")
    if isinstance(data, bytes):
        (where / "data.csv").write_bytes(data)
    else:
        (frame("binary") if data is None else data).to_csv(where / "data.csv", index=False)
    return where


LEAST = 'data = "data.csv"\ntarget = "target"\n'


def test_a_folder_with_the_least_that_must_be_said(tmp_path: Path) -> None:
    task = find_task(str(folder(tmp_path, LEAST)))
    assert isinstance(task, Task)
    assert (task.name, task.kind, task.metric, task.seed) == (tmp_path.name, "binary", Metric.ROC_AUC, 0)
    assert task.classes == ("no", "yes") and len(task.frame) == 60


def test_a_folder_with_all_that_can_be_said(tmp_path: Path) -> None:
    said = 'name = "mine"\nkind = "multiclass"\nmetric = "accuracy"\nabout = "a"\nsource = "b"\nlicence = "c"\n'
    task = from_folder(folder(tmp_path, LEAST + said + 'drop = ["word"]\nseed = 3\n', frame("multiclass")))
    assert (task.name, task.kind, task.metric, task.seed) == ("mine", "multiclass", Metric.ACCURACY, 3)
    assert (task.about, task.source, task.licence) == ("a", "b", "c")
    assert list(task.columns) == ["number"]


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ([0, 1] * 30, "binary"),
        ([1.5, 2.5] * 30, "binary"),
        ([True, False] * 30, "binary"),
        (["a", "b", "c"] * 20, "multiclass"),
        ([1, 2, 3] * 20, "multiclass"),
        ([1.0, 2.0, 3.0] * 20, "multiclass"),
        ([0.5, 1.0, 2.0] * 20, "regression"),
        (list(range(60)), "regression"),
        (list(np.linspace(0, 1, 60)), "regression"),
    ],
)
def test_the_kind_is_guessed(tmp_path: Path, target: list[object], kind: Kind) -> None:
    task = from_folder(folder(tmp_path, LEAST, pd.DataFrame({"x": range(60), "target": target})))
    assert task.kind == kind and task.metric.fits(kind)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("data = ", "cannot be read"),
        (LEAST + 'tarket = "x"\n', "nobody reads.*tarket"),
        ('data = "data.csv"\n', "no target"),
        ("", "no data and no target"),
        ('data = "data.csv"\ntarget = "price"\n', "has no target.*number, word, target"),
        (LEAST + 'metric = "f1"\n', "no such metric.*roc_auc"),
        (LEAST + "metric = 1\n", "no such metric"),
        (LEAST + 'metric = "rmse"\n', "cannot be scored"),
        (LEAST + 'kind = "ranking"\n', "Not a kind"),
        (LEAST + "kind = []\n", "Not a kind"),
        (LEAST + 'drop = ["target"]\n', "cannot be dropped"),
        (LEAST + 'drop = ["price"]\n', "cannot be dropped"),
        (LEAST + "drop = [[1]]\n", "cannot be dropped"),
        (LEAST + 'drop = "word"\n', "come as a list"),
        (LEAST + "drop = 3\n", "come as a list"),
        (LEAST + 'drop = ["word", "number"]\n', "nothing to foretell"),
        (LEAST + "seed = -1\n", "Not a seed"),
        (LEAST + "seed = true\n", "Not a seed"),
        (LEAST + "seed = 1.5\n", "Not a seed"),
    ],
)
def test_a_bad_description_is_refused(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_folder(folder(tmp_path, toml))


def test_a_description_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_bytes(b"data = '\xff'\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        from_folder(tmp_path)


def test_a_folder_without_a_description_is_none_of_a_task(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no task"):
        find_task(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00\x01", b'a,target\n1,2\n1,2,3,4\n"'])
def test_data_that_are_no_csv_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FileError, match="data.csv cannot be read"):
        from_folder(folder(tmp_path, LEAST, data))


def test_data_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(LEAST)
    with pytest.raises(FileError, match="data.csv cannot be read"):
        from_folder(tmp_path)
