"""Result files keep what others measured and replace what is measured again."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results import Figure, Results, command_key, machine, read, sgemm_gflops

COMMAND = "python -m benchmarks.example --seed 0"


def put(
    results: Results, *, seed: int, value: float, method: str = "ours", paid: tuple[int, ...] = (500, 1000)
) -> None:
    figures = [Figure(step, "return", value + step, 1.5) for step in paid]
    results.put(claim="efficiency", world="Pendulum-v1", method=method, seed=seed, figures=figures)


def test_a_second_measurement_replaces_its_own_rows_and_no_others(tmp_path: Path) -> None:
    results = Results("topic", command=COMMAND, folder=tmp_path)
    put(results, seed=0, value=1.0)
    put(results, seed=1, value=2.0)
    put(results, seed=0, value=3.0, method="peer")
    put(Results("topic", command="python -m benchmarks.other", folder=tmp_path), seed=0, value=4.0)

    put(
        Results("topic", command="python -m benchmarks.example --seed 0 --steps 9", folder=tmp_path),
        seed=0,
        value=7,
        paid=(9,),
    )

    rows = read(tmp_path / "topic.csv")
    found = {(row.method, row.seed, command_key(row.command), row.paid, row.value) for row in rows}
    assert found == {
        ("ours", 0, "benchmarks.example", 9, 16.0),
        ("ours", 1, "benchmarks.example", 500, 502.0),
        ("ours", 1, "benchmarks.example", 1000, 1002.0),
        ("peer", 0, "benchmarks.example", 500, 503.0),
        ("peer", 0, "benchmarks.example", 1000, 1003.0),
        ("ours", 0, "benchmarks.other", 500, 504.0),
        ("ours", 0, "benchmarks.other", 1000, 1004.0),
    }


def test_the_file_is_the_long_format_that_the_design_names(tmp_path: Path) -> None:
    put(Results("topic", command=COMMAND, folder=tmp_path), seed=0, value=1 / 3, paid=(1,))
    with (tmp_path / "topic.csv").open() as file:
        header, row = csv.reader(file)
    assert header == ["claim", "world", "method", "seed", "paid", "metric", "value", "seconds", "command"]
    assert row == ["efficiency", "Pendulum-v1", "ours", "0", "1", "return", "1.33333", "1.5", COMMAND]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(tmp_path: Path, value: float) -> None:
    results = Results("topic", command=COMMAND, folder=tmp_path)
    with pytest.raises(ValueError, match="not a finite figure"):
        put(results, seed=0, value=value)
    assert not (tmp_path / "topic.csv").exists()


def test_a_command_that_only_works_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        Results("topic", command="python /home/me/x.py", folder=tmp_path)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("python -m benchmarks.x --seed 1", "benchmarks.x"),
        ("XLA_FLAGS=--a=b python -m benchmarks.x", "benchmarks.x"),
        ("python benchmarks/x.py 3", "benchmarks/x.py"),
        ("make bench", "make"),
    ],
)
def test_the_program_of_a_command(command: str, key: str) -> None:
    assert command_key(command) == key


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "topic.csv").write_text("claim,value\nx,1\n")
    with pytest.raises(ValueError, match=r"topic\.csv has the columns"):
        put(Results("topic", command=COMMAND, folder=tmp_path), seed=0, value=1.0)
    assert (tmp_path / "topic.csv").read_text() == "claim,value\nx,1\n"


def test_a_writer_that_is_stopped_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results("topic", command=COMMAND, folder=tmp_path)
    put(results, seed=0, value=1.0)
    before = results.path.read_text()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(results, seed=1, value=2.0)
    assert results.path.read_text() == before


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from benchmarks.results import Figure, Results\n"
        "results = Results('topic', command='python -m benchmarks.example', folder=pathlib.Path(sys.argv[1]))\n"
        "for i in range(20):\n"
        "    figures = [Figure(0, 'x', 1.0, 0.0)]\n"
        "    results.put(claim='c', world=str(i), method='m', seed=int(sys.argv[2]), figures=figures)\n"
    )
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(n)], cwd=root) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert {(row.world, row.seed) for row in read(tmp_path / "topic.csv")} == {
        (str(i), n) for i in range(20) for n in range(4)
    }


def test_the_machine_says_what_it_is() -> None:
    about = machine()
    assert about.threads == 1, "the tests run with one thread"
    assert about.cores >= 1
    assert "jax 0.10" in about.versions
    assert sgemm_gflops(size=128, repeats=2) > 0
