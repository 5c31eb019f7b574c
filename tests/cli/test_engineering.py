"""`gedanken run ml-engineering`, as a script would use it. Programs are not run here, but for those marked slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gedanken.cli import entry
from gedanken.cli.entry import main
from gedanken.intermediary import engineering
from gedanken.worlds.ml_engineering.attempt import VALID, Attempt, Verdict
from gedanken.worlds.ml_engineering.grading import Graded, Score

QUICK = ["--agent", "evolution", "--isolation", "limits", "--limit_seconds", "5", "--budget.seconds", "20"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def attempt(task: Any, program: str, **_: Any) -> tuple[Attempt, Graded | None]:
        ran.append(program)
        if len(ran) % 4 == 0:
            return Attempt(Verdict.ERROR, 3, None, None, 1_000, 900, 50, 400, "", "ValueError: <b>no</b>"), None
        score = Score(100.0 - len(ran), len(ran) / 100)
        predicted = task.truth[[*task.split.validation, *task.split.hidden]]
        return (
            Attempt(Verdict.OK, VALID, score, score, 1_000, 900, 50, 400, "printed", ""),
            Graded(score, score, predicted),
        )

    monkeypatch.setattr(engineering, "attempt", attempt)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main([*words, "--json", "--progress", "none"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("_quick")
def test_a_campaign_ends_with_one_line_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = answer(capsys, "run", "ml-engineering", "--task", "hitters", *QUICK)
    assert status == 0
    assert {"world", "paid", "best", "trace", "seed", "foretold", "solution", "run", "report"} <= set(said)
    assert said["world"] == "ml_engineering/hitters" and said["isolation"] == "limits"
    assert set(said["best"]) == {"attempt", "validation", "hidden"} and said["paid"]["milliseconds"] <= 20_000
    assert Path(said["solution"]).exists()
    page = Path(said["report"]).read_text()
    assert page.startswith("<!doctype html>") and "Every program" in page
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in page and "<b>no</b>" not in page  # what a program says is no HTML


@pytest.mark.usefixtures("_quick")
def test_it_is_told_in_words_and_again_when_it_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "ml-engineering", "--task", "hitters", "--out", "mine", "--progress", "none", *QUICK]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "programs for hitters" in said and "(95 %)" in said and "mine/report.html" in said
    assert main(["resume", "mine", "--progress", "none"]) == 0
    assert "programs for hitters" in capsys.readouterr().out
    status, error = answer(capsys, "resume", "mine", "--budget.seconds", "90")
    assert status == 2 and "cannot be raised" in json.dumps(error)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "What is to be solved"),
        (["--task", "nope"], 2, "no such task"),
        (["--task", "empty"], 7, "holds no task"),
        (["--task", "constant"], 2, "cannot be classified"),
        (["--task", "short"], 2, "too few rows"),
        (["--task", "gaps"], 2, "has no data"),
        (["--task", "diabetes", "--budget.steps", "3"], 2, "budget does not fit"),
        (["--task", "diabetes", "--agent", "clever"], 2, "clever"),
        (["--task", "diabetes", "--isolation", "none"], 2, "bubblewrap"),
        (["--task", "diabetes", "--agent", "writing"], 2, "write the programs"),
        (["--task", "diabetes", "--wrokers", "2"], 2, "wrokers"),
    ],
)
def test_bad_input_is_told_and_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    rows = {
        "constant": [f"{i},1" for i in range(90)],
        "short": [f"{i},{i}" for i in range(10)],
        "gaps": [f",{i}" for i in range(90)],
    }
    Path("empty").mkdir()
    for name, lines in rows.items():
        Path(name).mkdir()
        Path(name, "d.csv").write_text("\n".join(["x,y", *lines]))
        Path(name, "task.toml").write_text('data = "d.csv"\ntarget = "y"\n')
    isolation = [] if "--isolation" in words else ["--isolation", "limits"]
    found, error = answer(capsys, "run", "ml-engineering", *words, *isolation)
    assert found == status and said in json.dumps(error)
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(entry, "import_module", missing)
    status, error = answer(capsys, "run", "ml-engineering", "--task", "diabetes")
    assert status == 2 and "gedanken[ml-engineering]" in error["error"]["do"]


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "ml-engineering", "--help"]) == 0
    assert "gedanken run ml-engineering --task diabetes" in capsys.readouterr().out
