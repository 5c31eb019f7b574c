"""Programs of all kinds, really run: what is made of them, and what they cannot do."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering import attempt as attempts
from gedanken.worlds.ml_engineering import harness
from gedanken.worlds.ml_engineering.attempt import VALID, Attempt, Verdict, attempt, check
from gedanken.worlds.ml_engineering.grading import Graded, grade
from gedanken.worlds.ml_engineering.metrics import KINDS, Kind
from gedanken.worlds.ml_engineering.pipelines import program, sensible
from gedanken.worlds.ml_engineering.suite import _TASKS
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.sandbox import Isolation, Limits, available
from gedanken.worlds.sandbox.isolation import python_paths
from tests.worlds.ml_engineering.tasks import answering, apart, frame, small, unseen_rows

LIMITS = Limits(seconds=20.0, memory_mb=300, disk_mb=20, output_kb=100, processes=12)


def tried(task: Task, solution: str, **options: Any) -> tuple[Attempt, Graded | None]:
    return attempt(task, solution, **({"limits": LIMITS, "isolation": apart()} | options))


def verdict(solution: str, **options: Any) -> Attempt:
    done, graded = tried(small("regression"), solution, **options)
    assert (graded is not None) == (done.verdict is Verdict.OK) == (done.stage == VALID)
    assert (done.validation is not None) == (done.hidden is not None) == (graded is not None)
    return done


# --- What becomes of programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_program_gets_both_scores(kind: Kind) -> None:
    task = small(kind, rows=100)
    done, graded = tried(task, answering("1 / len(columns)", then="print('done')"))
    assert graded is not None and (done.verdict, done.stage, done.error) == (Verdict.OK, VALID, ""), done.error
    assert (done.validation, done.hidden, done.output) == (graded.validation, graded.hidden, "done\n")
    truth = task.truth[task.split.hidden]
    predicted = np.full((len(truth), max(len(task.classes), 1)), 1 / max(len(task.classes), 1))
    score = task.metric.score(truth, predicted[:, 0] if kind == "regression" else predicted)
    assert graded.hidden.score == pytest.approx(score)
    assert done.wall_ms > 0 and done.cpu_ms > 0 and done.peak_mb > 0
    assert done.startup_ms is not None and 0 <= done.startup_ms <= done.cpu_ms + 100


@pytest.mark.slow
def test_a_program_that_learns_knows_more_than_nothing() -> None:
    task = small("binary", rows=300)
    done, _ = tried(task, program(sensible("binary")[0], "binary"), limits=replace(LIMITS, seconds=60, memory_mb=1_000))
    assert done.validation is not None and done.hidden is not None, done.error
    assert done.validation.skill > 0.5 and done.hidden.skill > 0.5


@pytest.mark.parametrize(
    ("solution", "wanted", "stage", "error"),
    [
        ("open('train.csv')\n1 / 0", Verdict.ERROR, 3, "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", Verdict.ERROR, 1, ""),
        ("import sys; sys.exit('because')", Verdict.ERROR, 1, "because"),
        (answering(then="raise ValueError('after all')"), Verdict.ERROR, 7, "ValueError: after all"),
        ("print('nothing')", Verdict.INVALID, 1, "there is no submission.csv: No such file or directory"),
        (answering("float('nan')"), Verdict.INVALID, 7, "24 predictions are NaN or infinite"),
        (answering("1e300"), Verdict.INVALID, 7, "predictions up to 1e+300 are too large to be scored"),
        (answering("'high'"), Verdict.INVALID, 7, "'high' is no number"),
        ("open('submission.csv', 'wb').write(b'\\xff')", Verdict.INVALID, 7, "submission.csv is no CSV"),
        ("import os; os.mkdir('submission.csv')", Verdict.INVALID, 1, "submission.csv is no file"),
        ("import os; os.mkfifo('submission.csv')", Verdict.INVALID, 1, "submission.csv is no file"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Verdict.KILLED, 1, "killed"),
    ],
)
def test_what_went_wrong_is_told(solution: str, wanted: Verdict, stage: int, error: str) -> None:
    done = verdict(solution)
    assert (done.verdict, done.stage) == (wanted, stage)
    assert done.error.startswith(error) and bool(done.error) == bool(error)
    assert done.wall_ms > 0


@pytest.mark.parametrize(
    ("solution", "why"),
    [
        ("", "no program"),
        (" \n\t\n", "no program"),
        ("x = (1,", "SyntaxError"),
        ("return 1", "SyntaxError"),
        ("x = '\ud800'", "UnicodeEncodeError"),
        ("x = '\0'", "Error"),
        ("-" * 150_000 + "1", "Error"),
        ("#" * 200_001, "200,001 characters"),
    ],
)
def test_what_is_no_program_is_rejected_for_free(solution: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "execute", None)
    done = verdict(solution)
    assert (done.verdict, done.stage, done.wall_ms, done.cpu_ms) == (Verdict.REJECTED, 0, 0, 0)
    assert why in done.error and why in check(solution)


def test_what_python_only_warns_of_is_run() -> None:
    """Here a warning is an error, and yet it is none of the program."""
    assert check("print(1 is 1, '\\d')") == ""


# --- Limits ---------------------------------------------------------------------------------------------------------


def test_one_that_does_not_end_is_ended_and_charged() -> None:
    done = verdict("open('train.csv')\nwhile True: pass", limits=replace(LIMITS, seconds=2.0))
    assert (done.verdict, done.stage, done.error) == (Verdict.TIMEOUT, 3, "timeout")
    assert 2_000 <= done.wall_ms < 10_000 and done.cpu_ms > 200


def test_an_answer_does_not_count_where_a_limit_was_broken() -> None:
    done = verdict(answering(then="import time; time.sleep(60)"), limits=replace(LIMITS, seconds=1.0))
    assert (done.verdict, done.stage, done.hidden) == (Verdict.TIMEOUT, 7, None)


@pytest.mark.parametrize(
    ("solution", "wanted"),
    [
        ("kept = []\nwhile True: kept.append(bytearray(b'x') * 20_000_000)", Verdict.MEMORY),
        ("import os\nwhile True: os.fork()", Verdict.LIMIT),
        ("while True: print('x' * 1000)", Verdict.LIMIT),
        ("n = 0\nwhile True:\n  open(str(n), 'wb').write(b'x' * 1_000_000)\n  n += 1", Verdict.LIMIT),
    ],
    ids=["memory", "a fork bomb", "output", "disk"],
)
def test_a_greedy_one_is_ended_and_charged(solution: str, wanted: Verdict) -> None:
    done = verdict(solution)
    assert done.verdict is wanted and done.wall_ms > 0


# --- What it may not ------------------------------------------------------------------------------------------------


def test_what_is_to_be_foretold_is_in_no_file_of_its_folder(tmp_path: Path) -> None:
    given = frame("regression").assign(target=[f"90210{row:03d}.25" for row in range(60)]).astype({"target": float})
    task = small("regression", frame=given)
    solution = """
import os
for where, _, names in os.walk("."):
    for name in names:
        print(open(os.path.join(where, name), errors="replace").read())
"""
    done, _ = tried(task, solution)
    secrets = {row: f"90210{row:03d}.25" for row in range(60)}
    assert all(secrets[row] in done.output for row in task.split.train)
    assert not any(secrets[row] in done.output for row in unseen_rows(task))


def test_data_of_tasks_in_installed_packages_are_masked() -> None:
    """scikit-learn's own data are tasks that ship, and its package has to be readable."""
    if available()[Isolation.BUBBLEWRAP]:
        pytest.fail("only bubblewrap can mask a folder: install it")
    solution = (
        "import os, sklearn.datasets as d\nprint(os.listdir(os.path.dirname(d.__file__) + '/data'))\nd.load_wine()"
    )
    done, _ = attempt(small("regression"), solution, isolation=Isolation.BUBBLEWRAP)
    assert done.verdict is Verdict.ERROR and done.output.strip() == "[]" and "wine_data.csv" in done.error


def test_the_tasks_that_ship_are_where_no_program_can_read_them() -> None:
    """They are where this package is: not among those of the interpreter that runs the program."""
    place = Path(str(_TASKS)).resolve()
    assert not any(place.is_relative_to(path) for path in python_paths())
    done = verdict(f"open({str(place / 'catalogue.json')!r})")
    assert done.verdict is Verdict.ERROR and ("No such file" in done.error or "Permission" in done.error)


@pytest.mark.parametrize("what", ["the tasks", "ours", "the parent's memory", "the parent's folder"])
def test_it_reads_nothing_of_ours(tmp_path: Path, what: str) -> None:
    place = {
        "the tasks": str(tmp_path / "hidden.csv"),
        "ours": str(Path(__file__)),
        "the parent's memory": f"/proc/{os.getpid()}/mem",
        "the parent's folder": f"/proc/{os.getpid()}/cwd/pyproject.toml",
    }[what]
    (tmp_path / "hidden.csv").write_text("the split that counts")
    done = verdict(f"print(open({place!r}, 'rb').read(10))")
    assert done.verdict is Verdict.ERROR and done.output == ""


def test_the_harness_cannot_be_written_to() -> None:
    before = Path(harness.__file__).read_bytes()
    done = verdict(f"open({harness.__file__!r}, 'a').write('x')")
    assert done.verdict is Verdict.ERROR and Path(harness.__file__).read_bytes() == before


def test_it_writes_nothing_elsewhere(tmp_path: Path) -> None:
    verdict(f"open({str(tmp_path / 'x')!r}, 'w').write('x')")
    assert list(tmp_path.iterdir()) == []


def forged(line: str) -> str:
    return f"import json, os\nfile = open('stages.jsonl', 'w')\n{line}\nfile.close()"


@pytest.mark.parametrize(
    ("solution", "stage"),
    [
        (forged(f"for stage in {harness.STAGES}: print(json.dumps(dict(stage=stage, cpu_ms=0)), file=file)"), 7),
        (forged("print(json.dumps(dict(stage='valid', cpu_ms=0)), file=file)"), 0),
        (forged("print('[1, 2', '3', '{}', 'null', '[[]]', '[' * 5000, '\\x00', sep='\\n', file=file)"), 0),
        (forged('print(\'{"stage": "read", "cpu_ms": NaN}\\n{"stage": [], "cpu_ms": 1}\', file=file)'), 0),
        (forged("file.write('x' * 1_000_000)"), 0),
        ("import os; os.remove('stages.jsonl')", 0),
        ("import os; os.remove('stages.jsonl'); os.mkdir('stages.jsonl')", 0),
        ("import os; os.remove('stages.jsonl'); os.mkfifo('stages.jsonl')", 0),
        ("import os; os.remove('stages.jsonl'); os.symlink('/dev/zero', 'stages.jsonl')", 0),
    ],
    ids=["all stages", "valid", "no JSON", "no numbers", "long", "none", "a folder", "a pipe", "a link"],
)
def test_a_forged_record_makes_no_score(solution: str, stage: int) -> None:
    done = _in_time(lambda: verdict(solution))
    assert (done.verdict, done.stage) == (Verdict.INVALID, stage)


def _in_time(work: Callable[[], Attempt]) -> Attempt:
    """In a thread that is left alone where it hangs."""
    found: list[Attempt] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(60)
    assert found, "it hung, or raised"
    return found[0]


@pytest.mark.parametrize("place", ["/etc/passwd", "train.csv", "/dev/stdin"])
def test_a_link_for_an_answer_leads_nowhere(place: str) -> None:
    done = verdict(f"import os; os.symlink({place!r}, 'submission.csv')")
    assert done.verdict is Verdict.INVALID and done.error.startswith("there is no submission.csv")


def test_however_deep_it_nests_its_folders_nothing_of_it_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep = "import os\nfor _ in range(1_200):\n  os.mkdir('d'); os.chdir('d')\nopen('end', 'w')\nos.chmod('.', 0)"
    done = verdict(f"{answering()}\n{deep}")
    assert done.verdict is Verdict.OK and list(tmp_path.iterdir()) == []


# --- How it is run --------------------------------------------------------------------------------------------------


def test_a_share_of_the_training_rows(tmp_path: Path) -> None:
    task, solution = small("binary", rows=200), answering(then="print(sum(1 for _ in open('train.csv')) - 1)")
    whole, half = (int(tried(task, solution, share=share)[0].output) for share in (1.0, 0.5))
    assert (whole, half) == (120, 60)
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        attempts.write_files(task, tmp_path / str(number), share=0.5)
    one, again = (pd.read_csv(tmp_path / name / "train.csv") for name in "01")
    assert (
        one.equals(again)
        and set(one["id"]) < set(task.split.train)
        and not np.array_equal(one["id"], task.split.train[:60])
    )
    assert len(pd.read_csv(tmp_path / "0" / "test.csv")) == 80


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="Not a share"):
        tried(small("binary"), answering(), share=share)


def test_a_folder_that_is_kept_holds_everything(tmp_path: Path) -> None:
    task = small("binary")
    done, graded = tried(task, answering(), keep=tmp_path)
    names = {"solution.py", "stages.jsonl", "submission.csv", "task.json", "test.csv", "train.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert json.loads((tmp_path / "task.json").read_text()) == task.described()
    assert (tmp_path / "solution.py").read_text() == answering()
    assert graded is not None and grade(task, tmp_path).hidden == done.hidden


def test_a_folder_that_holds_something_is_not_run_in(tmp_path: Path) -> None:
    """Somebody else's answer would be graded."""
    tried(small("binary"), answering(), keep=tmp_path)
    with pytest.raises(ConfigError, match="an empty folder"):
        tried(small("binary"), "pass", keep=tmp_path)
    with pytest.raises(ConfigError, match="an empty folder"):
        tried(small("binary"), "pass", keep=tmp_path / "nowhere")


def test_isolation_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from gedanken.worlds.sandbox import isolation

    monkeypatch.setattr(isolation, "missing", lambda level: "forbidden")
    with pytest.raises(ConfigError, match="so none is run"):
        attempt(small("binary"), answering())


def test_every_level_gives_the_same_answer() -> None:
    works = [level for level, why in available().items() if not why]
    scores = {level: tried(small("binary"), answering(), isolation=level)[0].hidden for level in works}
    assert len(set(scores.values())) == 1 and None not in scores.values()
    assert Isolation.LIMITS in scores and len(scores) > 1
