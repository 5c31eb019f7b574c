"""A table of returns is read strictly: what is wrong is told with its line, and nothing is guessed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError, FileError
from gedanken.evidence.table import COLUMNS, ReturnTable, Row, read_returns

HEAD = ",".join(COLUMNS)
GOOD = f"""{HEAD}
a,real,0,0,10
a,real,1,0,20
a,imagined,1,0,21
a,imagined,0,0,11
a,imagined,2,0,31
b,real,0,0,-1.5
b,fqe,0,0,1e2
c,imagined,0,0,7
"""


def read(folder: Path, text: str | bytes) -> ReturnTable:
    path = folder / "returns.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_returns(path)


def test_returns_are_found_by_policy_and_source(tmp_path: Path) -> None:
    table = read(tmp_path, GOOD)
    assert table.policies == ("a", "b", "c")
    assert table.estimators == ("imagined", "fqe")
    assert table.returns("a", "real").tolist() == [10.0, 20.0]
    assert table.returns("b", "imagined").tolist() == []
    assert table.shared("imagined") == ("a",)
    assert table.shared("fqe") == ("b",)


def test_its_rows_make_it_again(tmp_path: Path) -> None:
    table = read(tmp_path, GOOD)
    assert ReturnTable.of(table.rows) == table


def test_pairs_started_alike_whatever_their_order(tmp_path: Path) -> None:
    real, imagined, more = read(tmp_path, GOOD).pairs("a", "imagined")
    assert real.tolist() == [10.0, 20.0]
    assert imagined.tolist() == [11.0, 21.0]
    assert more.tolist() == [31.0]
    assert [len(side) for side in read(tmp_path, GOOD).pairs("b", "imagined")] == [0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(",", " , "),
        GOOD.replace("\n", "\n\n"),
        GOOD.rstrip("\n"),
        "".join(
            f"{line},x\n" for line in GOOD.replace(HEAD, f"{HEAD},note", 1).replace("note", "note", 1).splitlines()
        ).replace("note,x", "note"),
    ],
    ids=["byte-order mark", "Windows lines", "spaces", "empty lines", "no last newline", "another column"],
)
def test_what_makes_no_difference_makes_none(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == read(tmp_path, GOOD)


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    assert read(tmp_path, "return,episode,seed,source,policy\n5,3,2,real,a\n").returns("a", "real").tolist() == [5.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "table is empty"),
        (" \n\n", "table is empty"),
        (HEAD, "holds no returns"),
        ("policy,source,seed,return\na,real,0,1\n", "lacks a column: episode"),
        ("policy,source,seed,episode,returns\na,real,0,0,1\n", "rename 'returns'"),
        (GOOD.replace(",", ";"), "separate the cells with commas"),
        (f"{HEAD},seed\na,real,0,0,1,1\n", "column is there twice"),
        (f"{HEAD}\na,real,0,0\n", "4 cells in returns.csv, line 2"),
        (f"{HEAD}\na,real,0,0,1,2\n", "6 cells in returns.csv, line 2"),
        (f"{HEAD}\na,real,0,0,1\na,real,1,0,nan\n", "not finite.*line 3"),
        (f"{HEAD}\na,real,0,0,-inf\n", "not finite"),
        (f"{HEAD}\na,real,0,0,\n", "no number.*line 2"),
        (f"{HEAD}\na,real,0,0,1.5 m\n", "no number"),
        (f"{HEAD}\na,real,0.5,0,1\n", "'seed' needs a whole number"),
        (f"{HEAD}\na,real,0,first,1\n", "'episode' needs a whole number"),
        (f"{HEAD}\na,real,0,0,1\na,imagined,0,0,1\na,real,0,0,2\n", "twice.*line 4.*seed 0, episode 0"),
        (f"{HEAD}\n,real,0,0,1\n", "no name"),
        (f"{HEAD}\na,,0,0,1\n", "no name"),
        (f"{HEAD}\na,Real,0,0,1\n", "small letters"),
        (f"{HEAD}\na,imagined,0,0,1\na,fqe,0,0,1\n", "Nothing in the table is real.*fqe, imagined"),
        (f'{HEAD}\n"a,real,0,0,1\n', "no CSV"),
        (f"{HEAD}\nJos\u00e9,real,0,0,1\n".encode("latin-1"), "not encoded as UTF-8.*0xe9"),
        (GOOD.encode("utf-16"), "not encoded as UTF-8"),
        (GOOD.encode("utf-16-le"), "zero bytes"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        read(tmp_path, text)


def test_no_file_and_a_folder_are_no_table(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FileError, match="no such table"):
            read_returns(path)


def test_rows_in_memory_are_checked_alike() -> None:
    row = Row("a", "real", 0, 0, 1.0)
    assert ReturnTable.of([row]).returns("a", "real").tolist() == [1.0]
    with pytest.raises(ConfigError, match="row 2"):
        ReturnTable.of([row, row])
    with pytest.raises(ConfigError, match="not finite"):
        ReturnTable.of([row._replace(value=float("nan"))])
    with pytest.raises(ConfigError, match="no returns"):
        ReturnTable.of([])


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=8)
ROWS = st.lists(
    st.builds(
        Row,
        NAMES,
        st.sampled_from(["real", "imagined", 'fqe, doubly "robust"']),
        st.integers(0, 2**40),
        st.integers(0, 3),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:4],
).filter(lambda rows: any(row.source == "real" for row in rows))


@given(ROWS)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    path = tmp_path_factory.getbasetemp() / "returns.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    assert read_returns(path) == ReturnTable.of(rows)
