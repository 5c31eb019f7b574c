"""The script that runs a solution, run as it is in the sandbox: on its own, without the package."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gedanken.worlds.ml_engineering import harness
from gedanken.worlds.ml_engineering.attempt import write_files
from gedanken.worlds.ml_engineering.harness import STAGES
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.pipelines import program, sensible
from tests.worlds.ml_engineering.tasks import small


@dataclass(frozen=True)
class Ended:
    code: int
    stages: list[str]
    cpu_ms: list[int]
    out: str
    err: str


def run(folder: Path, solution: str, kind: Kind = "regression") -> Ended:
    write_files(small(kind), folder)
    (folder / "solution.py").write_text(solution)
    words = [sys.executable, "-I", harness.__file__, "solution.py", "stages.jsonl"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    record = folder / "stages.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    stages, cpu_ms = [line["stage"] for line in lines], [line["cpu_ms"] for line in lines]
    return Ended(done.returncode, stages, cpu_ms, done.stdout, done.stderr)


WHOLE = """
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import Ridge
train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
model = make_pipeline(StandardScaler(), Ridge())
model.fit(train[["number"]], train["target"])
test["prediction"] = model.predict(test[["number"]])
test[["id", "prediction"]].to_csv("submission.csv", index=False)
"""


def test_a_whole_program_reaches_every_stage_in_order(tmp_path: Path) -> None:
    ended = run(tmp_path, WHOLE)
    assert (ended.code, ended.stages) == (0, list(STAGES)), ended.err
    assert ended.cpu_ms == sorted(ended.cpu_ms) and ended.cpu_ms[0] >= 0
    assert (tmp_path / "submission.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("place", "kind"), [(0, "multiclass"), (5, "regression"), (6, "binary")])
def test_programs_of_the_pipeline_space_reach_every_stage(tmp_path: Path, place: int, kind: Kind) -> None:
    ended = run(tmp_path, program(sensible(kind)[place], kind), kind)
    assert (ended.code, ended.stages) == (0, list(STAGES)), ended.err


def test_lightgbm_is_watched_too(tmp_path: Path) -> None:
    solution = """
import lightgbm, pandas as pd
train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
model = lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1).fit(train[["number"]], train["target"])
model.predict(test[["number"]])
"""
    ended = run(tmp_path, solution)
    assert (ended.code, ended.stages) == (0, list(STAGES[:-1])), ended.err


@pytest.mark.parametrize(
    ("after", "reached"), [("import pandas", 1), ("train, test", 3), ("model.fit(", 5), ('test["prediction"]', 6)]
)
def test_one_that_raises_says_how_far_it_came(tmp_path: Path, after: str, reached: int) -> None:
    lines = [line + "\nraise ValueError('here')" * line.startswith(after) for line in WHOLE.splitlines()]
    ended = run(tmp_path, "\n".join(lines))
    assert (ended.code, ended.stages) == (1, list(STAGES[:reached])), ended.err
    assert ended.err.splitlines()[-1] == "ValueError: here"
    assert "solution.py" in ended.err and "harness" not in ended.err


def test_a_fit_that_fails_was_begun(tmp_path: Path) -> None:
    ended = run(tmp_path, WHOLE.replace('train[["number"]]', 'train[["word"]]'))
    assert (ended.code, ended.stages) == (1, list(STAGES[:4]))


def test_what_is_fitted_within_a_fit_does_not_count_as_fitted(tmp_path: Path) -> None:
    solution = WHOLE.replace("Ridge())", "GridSearchCV(Ridge(), {'alpha': [1, 'wrong']}, error_score='raise'))")
    imported = "import Ridge\nfrom sklearn.model_selection import GridSearchCV"
    ended = run(tmp_path, solution.replace("import Ridge", imported))
    assert (ended.code, ended.stages) == (1, list(STAGES[:4])), ended.err


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(0)", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('because')", 1, "because\n"),
        ("raise SystemExit", 0, ""),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("import os; os._exit(7)", 7, ""),
    ],
)
def test_its_end_is_that_of_the_program(tmp_path: Path, end: str, code: int, said: str) -> None:
    ended = run(tmp_path, f"print('begun', flush=True)\n{end}")
    assert (ended.code, ended.stages, ended.out) == (code, ["started"], "begun\n")
    assert said in ended.err and bool(ended.err) == bool(said)


def test_what_does_not_compile_did_not_start(tmp_path: Path) -> None:
    ended = run(tmp_path, "x = (1,\n")
    assert (ended.code, ended.stages) == (1, []) and "SyntaxError" in ended.err


def test_a_program_is_run_as_one(tmp_path: Path) -> None:
    """As a script of its own would be, with nothing of the harness in it."""
    solution = """
import sys
def f(x: int): ...
print(__name__, sys.argv, f.__annotations__, sorted(name for name in globals() if name[0] != "_"))
"""
    assert run(tmp_path, solution).out == "__main__ ['solution.py'] {'x': <class 'int'>} ['f', 'sys']\n"
