"""`gedanken evaluate --table`, as a person and as a program meet it."""

from __future__ import annotations

import pytest

from gedanken.cli.judging import EvaluateTable
from gedanken.cli.stages import Evaluate
from tests.evidence.simpler import tables as simpler
from tests.evidence.tables import rows, write


@pytest.fixture
def returns(tmp_path):
    return write(tmp_path / "returns.csv", rows(policies=6, estimators=("imagined", "fqe")))


def intervals(plain):
    """Every interval in plain data."""
    if isinstance(plain, dict):
        if {"mean", "low", "high"} <= plain.keys():
            yield plain
        else:
            for each in plain.values():
                yield from intervals(each)
    elif isinstance(plain, list):
        for each in plain:
            yield from intervals(each)


def test_a_person_reads_tables_of_100_columns(gedanken, returns):
    said = gedanken("evaluate", "--table", returns, "--spend", 6, "--replays", 5)
    assert said.status == 0
    assert max(len(line) for line in said.out.splitlines()) <= 100
    for text in (
        "does 'imagined' order 6 policies",
        "does 'fqe' order",
        "Intervals draw policies anew.",
        "imagined - real",
        "real, from both",
        "Compared start by start for 6 of 6 policies",
        "Deploy p5",
        "5 replays with 6 real episodes each",
        "sequential halving",
        "model only",
    ):
        assert text in said.out, text


def test_a_program_gets_every_figure_with_its_interval_and_count(gedanken, returns):
    said = gedanken("evaluate", "--table", returns, "--spend", 6, "--replays", 5, "--confidence", 0.8, "--json")
    assert said.status == 0
    assert said.json["table"] == str(returns)
    assert said.json["rankings"]["imagined"]["scores"]["spearman"]["value"]["mean"] == pytest.approx(1.0)
    assert said.json["selections"]["fqe"]["chosen"] == "p5"
    assert said.json["replays"]["imagined"]["methods"][0]["method"] == "gedanken"
    found = list(intervals(said.json))
    assert len(found) > 50
    for interval in found:
        assert isinstance(interval["count"], int)
        assert interval["confidence"] == 0.8 or interval["mean"] is None
        assert interval["low"] is not None or interval["reason"]


def test_episodes_are_drawn_anew_on_request(gedanken, returns):
    said = gedanken("evaluate", "--table", returns, "--resample", "policies+episodes")
    assert "Intervals draw policies and episodes anew." in said.out


def test_simplers_table_has_its_golden_values(gedanken, tmp_path):
    table = simpler()["google_robot_pick_coke_can"]
    lines = [
        (policy, source, 0, 0, value)
        for source, values in (("real", table.real), ("imagined", table.imagined))
        for policy, value in zip(table.policies, values, strict=True)
    ]
    path = write(tmp_path / "simpler.csv", lines)
    scores = gedanken("evaluate", "--table", path, "--json").json["rankings"]["imagined"]["scores"]
    assert scores["mmrv"]["value"]["mean"] == pytest.approx(0.031, abs=5e-4)
    assert scores["pearson"]["value"]["mean"] == pytest.approx(0.975, abs=5e-4)
    said = gedanken("evaluate", "--table", path, "--spend", 9)
    # Reasons stand once below their table.
    assert said.out.count("its luck cannot be replayed") == 1
    assert "not measured (1)" in said.out


def test_real_returns_alone_are_judged_too(gedanken, tmp_path):
    path = write(tmp_path / "returns.csv", rows(estimators=()))
    said = gedanken("evaluate", "--table", path)
    assert said.status == 0
    assert "Ranking" not in said.out
    assert "Deploy p5" in said.out


def test_a_policy_without_one_side_is_named(gedanken, tmp_path):
    path = write(tmp_path / "returns.csv", [*rows(), ("[new]", "imagined", 0, 0, 1.0)])
    said = gedanken("evaluate", "--table", path)
    assert "Left out, without returns of both sides: [new]." in said.out


def test_what_is_wrong_with_a_table_is_an_error_with_its_line(gedanken, returns):
    returns.write_text(returns.read_text() + "p0,real,77,0,nan\n")
    said = gedanken("evaluate", "--table", returns, "--json")
    assert said.status == 2
    assert "not finite" in said.json["error"]["what"]
    assert "line" in said.json["error"]["given"]
    assert gedanken("evaluate", "--table", returns.parent / "none.csv").status == 7


def test_bounds_make_values_that_assume_nothing_else(gedanken, tmp_path):
    path = write(tmp_path / "returns.csv", rows(imagined=40))
    said = gedanken("evaluate", "--table", path, "--bounds", -50, 150, "--json")
    assert {value["powered"]["method"] for value in said.json["values"]} == {"ppi-betting"}


@pytest.mark.parametrize(
    "words", [["--bounds", 0, 1], ["--spend", 0], ["--confidence", 2], ["--spend", "x"], ["--replay", 3]]
)
def test_wrong_flags_are_told(gedanken, returns, words):
    assert gedanken("evaluate", "--table", returns, *words).status == 2


def test_the_table_takes_the_place_of_a_run_and_its_help_is_its_own(gedanken, returns, tmp_path):
    assert isinstance(EvaluateTable.parse(["--table", str(returns)]), EvaluateTable)
    assert isinstance(Evaluate.parse([f"--table={returns}"]), EvaluateTable)
    assert isinstance(Evaluate.parse([str(tmp_path)]), Evaluate)
    assert gedanken("evaluate", tmp_path, "--table", returns).status == 2
    said = gedanken("evaluate", "--table", returns, "--help")
    assert said.status == 0
    assert "--spend" in said.out and "--replays" in said.out
