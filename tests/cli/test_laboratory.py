"""`gedanken science`, as a chemist with a spreadsheet and as a script would use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gedanken.cli import laboratory
from gedanken.cli.entry import main

CSV = "T,solvent,yield\n20,water,1\n30,THF,3\n40,THF,5\n50,water,2\n60,THF,7\n70,DMF,9\n80,DMF,4\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text(CSV)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    status = main(["science", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def begun(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = answer(
        capsys, "init", "lab", "--table", "my.csv", "--objective", "yield:max", "--budget.experiments", "4"
    )
    assert status == 0 and said["trials"] == 7 and Path(said["description"]).exists()


def test_from_a_table_to_a_result_and_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    begun(capsys)
    status, said = answer(capsys, "ask", "lab", "--count", "2", "--stage")
    assert status == 0 and [one["id"] for one in said["asked"]] == ["8", "9"] and said["left"] == {"experiments": 2}
    assert all(one["state"] == "STAGED" and "expected" in one["why"] for one in said["asked"])
    status, said = answer(capsys, "tell", "lab", "8", "yield=11.5", "--note", "clear")
    assert status == 0 and said["best"]["yield"] == 11.5 and said["coverage"]["forecasts"] == 1
    status, said = answer(capsys, "tell", "lab", "9", "--state", "failed", "--cost.experiments", "1")
    assert status == 0 and said["changed"][0]["state"] == "FAILED"
    status, said = answer(capsys, "status", "lab")
    assert said["paid"] == {"experiments": 2} and len(said["trials"]) == 9
    status, said = answer(capsys, "report", "lab")
    page = Path(said["report"]).read_text()
    assert status == 0 and "Every experiment" in page and "done before" in page


def test_it_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    begun(capsys)
    assert main(["science", "ask", "lab"]) == 0
    assert "Trial 8, CANDIDATE" in capsys.readouterr().out
    sheet = Path("lab/trials.csv")
    lines = sheet.read_text().splitlines()
    cells = lines[-1].split(",")
    cells[lines[0].split(",").index("yield")] = "12"
    sheet.write_text("\n".join([*lines[:-1], ",".join(cells)]))
    assert main(["science", "tell", "lab"]) == 0
    assert "Trial 8 is COMPLETED: yield 12." in capsys.readouterr().out
    assert main(["science", "tell", "lab"]) == 0 and "Nothing has changed" in capsys.readouterr().out
    assert main(["science", "status", "lab"]) == 0
    said = capsys.readouterr().out
    assert "Best yield: 12. Paid 1 experiment" in said and "COMPLETED" in said


def test_on_a_terminal_it_asks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[str] = iter(["temperature", "20 to 120", "°C", "solvent", "water, DMF", "", "yield", "", "%", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert main(["science", "init", "lab"]) == 0
    written = Path("lab/lab.yaml").read_text()
    assert "°C" in written and "- DMF" in written and "goal: max" in written
    status, said = answer(capsys, "ask", "lab") if capsys.readouterr() else (1, {})
    assert status == 0 and set(said["asked"][0]["design"]) == {"temperature", "solvent"}


def test_a_description_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(
        "objectives: [{name: purity, goal: max}]\n"
        "parameters: [{type: continuous, name: pH, low: 2, high: 12}, {type: integer, name: cycles, low: 1, high: 9}]\n"
        "prices: {micro_usd: {each: 100, cycles: 50}}\nbudget: {micro_usd: 2000}\n"
    )
    assert answer(capsys, "init", "lab", "--space", "mine.yaml")[0] == 0
    _, said = answer(capsys, "ask", "lab", "--count", "3")
    for one in said["asked"]:
        assert one["cost"] == {"micro_usd": 100 + 50 * one["design"]["cycles"]}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["init", "lab2"], 2, "What can be set"),
        (["init", "lab2", "--table", "my.csv"], 2, "What is measured"),
        (["init", "lab2", "--table", "my.csv", "--objective", "yield:up"], 2, "no goal"),
        (["init", "lab2", "--table", "my.csv", "--objective", "conversion"], 2, "no such column"),
        (["init", "lab", "--table", "my.csv", "--objective", "yield"], 2, "not empty"),
        (["ask", "none"], 7, "no laboratory"),
        (["tell", "lab", "8", "yield"], 2, "no result"),
        (["tell", "lab", "8", "yield=lots"], 2, "no number"),
        (["tell", "lab", "1", "yield=5"], 2, "told before"),
        (["tell", "lab", "1", "--state", "done"], 2, "no such state"),
        (["tell", "lab", "--note", "x"], 2, "Which trial"),
        (["tell", "lab", "--sheet", "none.csv"], 7, "cannot be read"),
        (["tell", "lab", "--sheet", "my.csv"], 2, "Line 2"),
        (["status", "lab", "--colour", "red"], 2, "colour"),
        ([], 2, "What about the laboratory"),
    ],
)
def test_what_is_wrong_is_told(capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str) -> None:
    begun(capsys)
    if words == ["tell", "lab", "--sheet", "my.csv"]:
        Path("my.csv").write_text(CSV.replace("20,water,1", "20,water,nan"))
    found, told = answer(capsys, *words)
    assert found == status and said in json.dumps(told["error"])


@pytest.mark.parametrize("name", ["init", "ask", "tell", "status", "report"])
def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["science", name, "--help"]) == 0
    assert f"Example: gedanken science {name}" in capsys.readouterr().out
    assert hasattr(laboratory, name.title())
