"""Tables come from result files, and say so where there is nothing to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import readme
from benchmarks.readme import Args, fill, main, markdown
from benchmarks.results import Figure, Results
from benchmarks.tables import Line, Table

TABLE = Table(
    topic="topic",
    claim="efficiency",
    corner="world",
    methods={"ours": "Gedanken", "peer": "SAC"},
    lines=[
        Line("Pendulum-v1, 1,000 paid steps", "Pendulum-v1", "return", 1000),
        Line("Pendulum-v1, at its end", "Pendulum-v1", "return"),
        Line("Hopper-v5", "Hopper-v5", "return"),
    ],
    ratio=("ours", "peer"),
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    file = Results("topic", command="python -m benchmarks.example", folder=tmp_path)
    for seed, value in enumerate([1.0, 2.0, 3.0]):
        curve = [Figure(500, "return", -5.0, 1.0), Figure(1000, "return", value, 2.0), Figure(1500, "return", 9.0, 3.0)]
        file.put(claim="efficiency", world="Pendulum-v1", method="ours", seed=seed, figures=curve)
        file.put(claim="another", world="Pendulum-v1", method="peer", seed=seed, figures=curve)
    peer = [Figure(1000, "return", 4.0, 1.0), Figure(1000, "loss", 77.0, 1.0)]
    file.put(claim="efficiency", world="Pendulum-v1", method="peer", seed=0, figures=peer)
    return tmp_path


def test_a_table_shows_mean_interval_count_and_ratio(results: Path) -> None:
    assert markdown(TABLE, results).splitlines() == [
        "| world | Gedanken | SAC | Gedanken / SAC |",
        "| --- | ---: | ---: | ---: |",
        # 2 +- t(0.975, 2) * 1 / sqrt(3) = 2 +- 4.303 * 0.577
        "| Pendulum-v1, 1,000 paid steps | 2 [0, 4], 3 seeds | 4, 1 seed | 0.50 |",
        "| Pendulum-v1, at its end | 9 [9, 9], 3 seeds | 4, 1 seed | 2.25 |",
        "| Hopper-v5 | not measured | not measured | not measured |",
    ]


def test_a_median_stands_with_its_range(results: Path) -> None:
    table = Table("topic", "efficiency", "", {"ours": "us"}, TABLE.lines[:1], "median", "repeats", digits=1)
    assert "| 2.0 [1.0, 3.0], 3 repeats |" in markdown(table, results)


def test_only_what_stands_between_markers_changes(results: Path) -> None:
    text = "# Head\n\n<!-- results:main -->\nold | table\n<!-- /results -->\n\ntail <!-- note -->\n"
    filled = fill(text, {"main": TABLE}, results, "README.md")
    assert filled == text.replace("old | table\n", markdown(TABLE, results))
    assert fill(filled, {"main": TABLE}, results, "README.md") == filled


@pytest.mark.parametrize("text", ["<!-- results:mian -->\n<!-- /results -->", "<!-- results:main -->\n"])
def test_a_marker_that_is_wrong_is_named(results: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md"):
        fill(text, {"main": TABLE}, results, "README.md")


def test_check_says_what_is_stale_and_writes_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = results / "page.md"
    text = "<!-- results:main -->\n<!-- /results -->\n"
    page.write_text(text)
    monkeypatch.setattr(readme, "TABLES", {"main": TABLE})
    monkeypatch.setattr(readme, "RESULTS", results)

    assert main(Args(check=True, files=[page])) == 1
    assert "stale: page.md" in capsys.readouterr().out
    assert page.read_text() == text
    assert main(Args(files=[page])) == 0
    assert main(Args(check=True, files=[page])) == 0
    assert page.read_text() == fill(text, {"main": TABLE}, results, "page.md")


def test_the_tables_in_this_repository_can_be_made() -> None:
    for table in readme.TABLES.values():
        head, _, *lines = markdown(table, readme.RESULTS).splitlines()
        assert head.startswith(f"| {table.heads()[0]} |") and lines
        assert {line.count("|") for line in lines} == {head.count("|")}
