"""The examples of README.md and docs/ run as they are printed."""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from gedanken.cli.entry import found, main
from gedanken.intermediary.config import from_plain

ROOT = Path(__file__).parent.parent


def blocks(path: str, language: str) -> list[str]:
    """The fenced code of one language in a file, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), re.DOTALL)


def run_as_one(path: str) -> dict[str, object]:
    """Runs all Python of a page as one program and returns its names."""
    names: dict[str, object] = {"__name__": "example"}
    exec(compile("\n".join(blocks(path, "python")), path, "exec"), names)
    return names


@pytest.mark.slow
def test_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_as_one("docs/guide.md")
    result = names["result"]
    assert result.paid["steps"] <= 300
    assert result.paid["litres"] == 2 * result.paid["steps"]
    assert result.value.count == 3
    assert np_equal(names["again"], names["first"])


def np_equal(one: object, other: object) -> bool:
    return bool((one == other).all())


@pytest.mark.slow
def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_as_one("README.md")
    assert names["result"].paid == {"steps": 1_500}
    assert "n=10" in capsys.readouterr().out


def test_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_as_one("docs/evidence.md")
    assert names["judgement"].rankings["imagined"]["spearman"].count == 12
    assert names["selection"].paid == 10
    printed = capsys.readouterr().out
    shown = re.search(r"# (.*, n=12)$", "\n".join(blocks("docs/evidence.md", "python")), re.MULTILINE)
    assert shown is not None and shown[1] in printed


@pytest.mark.slow
def test_science(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (table,) = blocks("docs/science.md", "csv")
    Path("my.csv").write_text(table)
    commands = [line for line in (ROOT / "docs/science.md").read_text().splitlines() if line.startswith("gedanken ")]
    for line in commands:
        assert main([*shlex.split(line)[1:], "--json"]) == 0, line
        said = json.loads(capsys.readouterr().out)
        if line.startswith("gedanken run"):
            assert said["trace"][-1] == said["best"][said["objective"]["name"]]
    assert "74.5" in Path("my-lab/trials.csv").read_text() and Path("my-lab/report.html").exists()
    names = run_as_one("docs/science.md")
    assert len(names["found"].trace) == 20  # type: ignore[attr-defined]
    assert names["suggestion"].why  # type: ignore[attr-defined]


@pytest.mark.slow
def test_ml_engineering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_as_one("docs/ml_engineering.md")
    assert names["done"].verdict == "ok" and len(names["knows_more"].done) == 1  # type: ignore[attr-defined]
    assert capsys.readouterr().out.count("to answer, skill") == 8
    (described,) = blocks("docs/ml_engineering.md", "toml")
    folder = Path("houses")
    folder.mkdir()
    (folder / "task.toml").write_text(described)
    rows = "\n".join(
        f"{i},{50 + i % 40},{'north' if i % 3 else 'south'},{1_000 * (50 + i % 40) + i}" for i in range(90)
    )
    (folder / "houses.csv").write_text(f"id,area,side,price\n{rows}\n")
    (line,) = (line for line in SHELL if "--task houses" in line)
    words = [
        *shlex.split(line)[1:],
        "--budget.seconds",
        "20",
        "--isolation",
        "limits",
        "--agent",
        "evolution",
        "--json",
    ]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["metric"] == "mae" and said["best"]["validation"]["skill"] > 0.5 and Path(said["solution"]).exists()


def test_run_file_of_the_guide() -> None:
    (text,) = blocks("docs/guide.md", "yaml")
    config = from_plain(yaml.safe_load(text))
    assert (config.world, config.seed, config.budget) == ("Pendulum-v1", 3, {"steps": 1000})


SHELL = [
    line
    for page in ("README.md", "docs/guide.md", "docs/evidence.md", "docs/science.md", "docs/ml_engineering.md")
    for line in (ROOT / page).read_text().splitlines()
    if line.startswith("gedanken ")
]


@pytest.mark.parametrize("line", SHELL)
def test_commands_of_the_docs_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("docs/guide.md", "yaml")
    Path("my_run.yaml").write_text(text)
    command, words = found(shlex.split(line, comments=True)[1:])
    asked = getattr(import_module(f"gedanken.cli.{command.module}"), command.name).parse(words)
    assert ("--json" in words) == asked.json


def test_there_are_commands_in_the_docs() -> None:
    assert len(SHELL) >= 10
