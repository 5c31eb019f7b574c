"""`gedanken run science`, as a script would use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gedanken.cli.entry import main

CSV = "T,solvent,yield\n20,water,1\n30,THF,3\n40,THF,5\n50,water,2\n60,THF,7\n70,DMF,9\n80,DMF,4\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    status = main([*words, "--json", "--progress", "none"])
    return status, json.loads(capsys.readouterr().out)


def test_a_campaign_ends_with_one_line_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = answer(capsys, "run", "science", "--world", "snar", "--budget.experiments", "7", "--seed", "2")
    assert status == 0
    assert list(said) == [
        "world",
        "seed",
        "objective",
        "paid",
        "best",
        "trace",
        "coverage",
        "seconds",
        "ended",
        "by_chance",
        "run",
        "report",
    ]
    assert (said["world"], said["seed"], said["paid"]) == ("science/snar", 2, {"experiments": 7})
    assert said["best"]["e_factor"] == said["trace"][-1] and len(said["trace"]) == 7
    page = Path(said["report"]).read_text()
    assert page.startswith("<!doctype html>") and "science/snar" in page and "Every experiment" in page


def test_anybodys_table(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(CSV)
    words = ("--table", "my.csv", "--objective", "yield", "--goal", "max", "--budget.experiments", "7")
    status, said = answer(capsys, "run", "science", *words)
    assert status == 0 and said["best"] == {"yield": 9.0, "design": {"T": 70, "solvent": "DMF"}}


def test_it_is_told_in_words_and_again_when_it_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "science", "--world", "snar", "--budget.experiments", "6", "--out", "mine", "--progress", "none"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "paid for with 6 experiments" in said and "Best e_factor" in said and "mine/report.html" in said
    assert main(["resume", "mine", "--progress", "none"]) == 0
    assert "paid for with 6 experiments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--world", "nope"], 2, "no such table"),
        ([], 2, "What is experimented on"),
        (["--world", "snar", "--budget.steps", "3"], 2, "budget does not fit"),
        (["--table", "none.csv", "--objective", "y"], 7, "cannot be read"),
        (["--table", "my.csv"], 2, "Which column"),
        (["--table", "my.csv", "--objective", "conversion"], 2, "no such column"),
        (["--world", "snar", "--plannner", "random"], 2, "plannner"),
        (["--world", "snar", "--earlier", "suzuki"], 2, "other parameters"),
        (["--world", "snar", "--earlier", "nope"], 2, "no such table"),
        (["--world", "snar", "--thrift", "-1"], 2, "counts costs"),
        (["--world", "snar", "--worth", "2", "--currency", "euros"], 2, "does not cost"),
    ],
)
def test_bad_input_is_told_and_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    Path("my.csv").write_text(CSV)
    found, error = answer(capsys, "run", "science", *words)
    assert found == status and said in json.dumps(error)
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_the_budget_of_a_campaign_stays(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "science", "--world", "snar", "--budget.experiments", "5", "--out", "mine", "--progress", "none"])
    capsys.readouterr()
    status, error = answer(capsys, "resume", "mine", "--budget.experiments", "9")
    assert status == 2 and "cannot be raised" in json.dumps(error)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "science", "--help"]) == 0
    assert "gedanken run science --world suzuki" in capsys.readouterr().out
