import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from gedanken.errors import FileError
from gedanken.models.attempts.heads import VERDICTS, Heads
from gedanken.models.attempts.known import known_attempts
from gedanken.worlds.ml_engineering.pipelines import SPACE, drawn
from gedanken.worlds.ml_engineering.suite import names
from tests.models.attempts.synthetic import features, heads, outcome


def test_a_task_that_was_not_seen_is_foretold() -> None:
    task, designs = features(rows=6.3, level=-0.7), drawn("regression", 80, seed=99)
    real = [outcome(design, task) for design in designs]
    ok = np.array([verdict == "ok" for verdict, _, _ in real])
    chances = heads().verdicts(designs, task)
    np.testing.assert_allclose(chances.sum(1), 1)
    assert chances[ok, 0].min() > 0.7 and chances[~ok, VERDICTS.index("error")].min() > 0.7
    error, apart = heads().expected_error(designs, task)
    skills = np.array([skill for _, skill, _ in real if skill is not None])
    assert spearmanr(-error[ok], skills).statistic > 0.9
    assert (apart >= 0).all()
    work, _ = heads().expected_work(designs, task)
    took = np.log([milliseconds for _, _, milliseconds in real])
    assert np.median(np.abs(work - took)[ok]) < 0.5


def test_landmarks_tell_how_hard_a_task_is() -> None:
    easy, hard = heads().usual(features(level=-1.4)), heads().usual(features(level=0.0))
    assert easy < hard - 0.5


def test_they_are_saved_and_loaded(tmp_path: Path) -> None:
    heads().save(tmp_path / "heads")
    read = Heads.load(tmp_path / "heads")
    task, designs = features(), drawn("regression", 10, seed=3)
    for name in ("expected_error", "expected_work", "verdicts"):
        np.testing.assert_allclose(getattr(read, name)(designs, task), getattr(heads(), name)(designs, task))
    assert read.usual(task) == heads().usual(task) and read.tasks == 8


@pytest.mark.parametrize("damage", ["missing", "version", "cut", "json"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, damage: str) -> None:
    heads().save(tmp_path)
    manifest = tmp_path / "heads.json"
    match damage:
        case "missing":
            manifest.unlink()
        case "version":
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": 99}))
        case "cut":
            (tmp_path / "work-1.txt").write_text("tree")
        case "json":
            manifest.write_text("{")
    with pytest.raises(FileError, match=r"heads"):
        Heads.load(tmp_path)


def test_what_is_known_is_of_train_tasks_alone() -> None:
    attempts, tasks = known_attempts()
    assert set(attempts["task"]) == set(tasks) == set(names("train"))
    assert set(attempts["verdict"]) <= set(VERDICTS)
    ok = attempts[attempts["verdict"] == "ok"]
    assert (
        ok["validation_skill"].notna().all() and attempts[attempts["verdict"] != "ok"]["validation_skill"].isna().all()
    )
    assert (attempts["work_ms"] >= 0).all()
    for design in attempts[list(SPACE.names)].sample(50, random_state=0).to_dict("records"):
        SPACE.checked(design)
