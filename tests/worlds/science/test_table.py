from pathlib import Path

import numpy as np
import pytest

from gedanken.errors import ConfigError, FileError
from gedanken.worlds.parameters import Categorical, Continuous, Integer
from gedanken.worlds.science import table as tables
from gedanken.worlds.science.table import catalogue, from_csv, shipped
from gedanken.worlds.science.trials import Objective

YIELD = (Objective("yield"),)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_shipped_table_is_what_its_catalogue_says(name: str) -> None:
    table, entry = shipped(name), catalogue()[name]
    assert len(table.designs) == entry["rows"] == len(table.results)
    assert np.isfinite(table.results).all()
    assert table.licence.startswith("MIT") and entry["package"] and entry["collection"]
    assert sum(len(rows) for rows in table.replicates.values()) == entry["rows"]
    assert len(table.pool) == len(table.mean()) >= 59


def test_the_best_of_well_known_tables() -> None:
    assert shipped("suzuki").results.max() == pytest.approx(96.9)
    assert shipped("fullerenes").results.max() == pytest.approx(0.953133)
    assert shipped("snar").results.min() == pytest.approx(0.24)
    assert [o.name for o in shipped("reizman_suzuki_1").objectives] == ["yield", "turnover_number"]


def test_replicates_keep_their_spread() -> None:
    table = shipped("fullerenes")
    several = [rows for rows in table.replicates.values() if len(rows) > 1]
    assert several and any(np.ptp(table.results[rows, 0]) > 0 for rows in several)


def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue()
    known["snar"]["sha256"] = "0" * 64
    monkeypatch.setattr(tables, "catalogue", lambda: known)
    with pytest.raises(FileError, match="damaged"):
        shipped("snar")


def test_an_unknown_table_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="suzuki"):
        shipped("sonogashira")


# --- Anybody's ------------------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_kinds_of_parameters_are_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, "T,n,solvent,same,yield\n20.5,1,water,x,1\n30,2,THF,x,2.5\n25,4,THF,x,3\n")
    table = from_csv(path, YIELD)
    assert table.space.parameters == (
        Continuous("T", 20.5, 30.0),
        Integer("n", 1, 4),
        Categorical("solvent", ("THF", "water")),
    )
    assert table.results[:, 0].tolist() == [1.0, 2.5, 3.0]
    assert table.designs[1] == {"T": 30.0, "n": 2, "solvent": "THF"}


def test_a_column_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "T,who,yield\n20,Ann,1\n30,Bob,2\n")
    assert from_csv(path, YIELD, ignore=["who"]).space.names == ("T",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("T,yield\n", "is empty"),
        ("T,T,yield\n1,2,3\n2,3,4\n", "not distinct"),
        ("T,conversion\n1,2\n2,3\n", "no such column"),
        ("T,yield\n1,2\n2,nan\n", "no result in line 3"),
        ("T,yield\n1,2\n2,\n", "no result in line 3"),
        ("T,yield\n1,2,3\n", "another number of cells"),
        ("T,yield\n1,2\n1,3\n", "Nothing varies"),
        ("T,yield\n1,2\n2,3\nhot,3\n4,5\n", "but for line 4"),
        ("s,yield\na,2\n,3\n", "is no choice"),
    ],
)
def test_a_bad_table_is_refused_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_csv(write(tmp_path, text), YIELD)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        from_csv(tmp_path / "none.csv", YIELD)
