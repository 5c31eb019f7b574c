"""Runs programs of the pipeline space on the tasks that ship with the library, and writes down what became of them.

    python tools/ml_attempts.py --group train --count 60 --workers 2

These are what the model of attempts (`gedanken.models.attempts`) knows before a task begins. Each program runs as
itself, in a process of its own, but forked from one that has the libraries loaded, and without a sandbox: the programs
are ours. `work_ms` is the processor time from reading the data on, on one thread; imports are not in it.

Results are appended to OUT (Parquet) after every task; what is there already is not run again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import lightgbm  # noqa: F401 - loaded before forking
import numpy as np
import pandas as pd
import tyro

from gedanken.models.attempts.features import TASK_FEATURES, task_features
from gedanken.worlds.ml_engineering import harness
from gedanken.worlds.ml_engineering.attempt import SOLUTION, VALID, write_files
from gedanken.worlds.ml_engineering.grading import Refused, grade
from gedanken.worlds.ml_engineering.pipelines import drawn, mutated, program, sensible
from gedanken.worlds.ml_engineering.suite import names, shipped
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.parameters import Design

OUT = Path(__file__).parent.parent / "src" / "gedanken" / "models" / "attempts" / "known.parquet"
MEMORY_MB = 2_048


@dataclass(frozen=True)
class Args:
    """What to run."""

    group: Literal["train", "held-out"] = "train"
    count: int = 60
    """programs a task: the sensible ones, some near them, and the rest spread over the space"""
    seconds: float = 30.0
    """of processor time each"""
    workers: int = 2
    out: Path = OUT
    tasks: tuple[str, ...] = ()


def main(args: Args) -> None:
    """Runs the tasks that are not in OUT yet."""
    known = pd.read_parquet(args.out) if args.out.exists() else pd.DataFrame({"task": []})
    todo = [name for name in args.tasks or names(args.group) if name not in set(known["task"])]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("fork")) as pool:
        for name, rows in zip(
            todo, pool.map(_all_of, [(name, args.count, args.seconds) for name in todo]), strict=True
        ):
            known = pd.concat([known, pd.DataFrame(rows)], ignore_index=True)
            known.to_parquet(args.out, compression="zstd", index=False)
            ok = sum(row["verdict"] == "ok" for row in rows)
            print(f"{name}: {ok} of {len(rows)} ok, {sum(row['work_ms'] for row in rows) / 1e3:.0f} s", flush=True)
    _write_features(args.out.with_suffix(".json"), sorted(set(known["task"])))


def _write_features(path: Path, known: list[str]) -> None:
    """The features of the tasks, so that nobody has to compute them again."""
    before = json.loads(path.read_text())["tasks"] if path.exists() else {}
    rows = {name: before[name] if name in before else _rounded(task_features(shipped(name))) for name in known}
    path.write_text(json.dumps({"features": list(TASK_FEATURES), "tasks": rows}, indent=1))


def _rounded(row: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in row]


def designs_of(task: Task, count: int) -> list[Design]:
    """The programs that are tried on a task; others on every task, so that the space is covered."""
    seed = int.from_bytes(task.name.encode()[:4], "little")
    rng, first = np.random.default_rng(seed), sensible(task.kind)
    near = [mutated(first[int(rng.integers(len(first)))], task.kind, rng, changes=3) for _ in range(count // 2)]
    return [*first, *near, *drawn(task.kind, max(count - len(first) - len(near), 0), seed=seed)][:count]


def _all_of(asked: tuple[str, int, float]) -> list[dict[str, Any]]:
    name, count, seconds = asked
    task = shipped(name)
    return [run(task, design, seconds) for design in designs_of(task, count)]


def run(task: Task, design: Design, seconds: float) -> dict[str, Any]:
    """One program in a forked process: what became of it, as a row."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(task, Path(folder))
        (Path(folder) / SOLUTION).write_text(program(design, task.kind))
        child = os.fork()
        if child == 0:
            _in_child(folder, seconds)
        ended, used = _waited(child, seconds)
        lines = [json.loads(line) for line in (Path(folder) / "stages.jsonl").read_text().splitlines()]
        stage = max((harness.STAGES.index(line["stage"]) + 1 for line in lines), default=0)
        errors = (Path(folder) / "stderr").read_text(errors="replace").strip().splitlines()
        row = {"task": task.name, **design, "verdict": "ok", "stage": stage, "error": ""}
        row["work_ms"] = used - next((line["cpu_ms"] for line in lines if line["stage"] == "read"), used)
        graded = None
        if ended == "error":
            row["error"] = errors[-1][:200] if errors else ""
            ended = "memory" if "MemoryError" in row["error"] else ended
        if ended == "ok":
            try:
                graded = grade(task, Path(folder))
                row["stage"] = VALID
            except Refused as refusal:
                ended, row["error"] = "invalid", str(refusal)
        scores = {"validation": None, "hidden": None} if graded is None else dataclasses.asdict(graded)
        for part in ("validation", "hidden"):
            row[f"{part}_skill"] = None if graded is None else scores[part]["skill"]
        return row | {"verdict": ended}


def _in_child(folder: str, seconds: float) -> None:
    code = 1
    try:
        os.chdir(folder)
        with open("stderr", "w") as errors, open(os.devnull, "w") as nothing:
            os.dup2(errors.fileno(), 2)
            os.dup2(nothing.fileno(), 1)
            sys.stderr = errors
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MB << 20, MEMORY_MB << 20))
            code = harness.main(SOLUTION, "stages.jsonl")
            errors.flush()
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
        traceback.print_exc()
    finally:
        os._exit(code)


def _waited(child: int, seconds: float) -> tuple[str, int]:
    """How it ended, and its processor time in milliseconds."""
    patience = time.monotonic() + 6 * seconds
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > patience:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)
        time.sleep(0.005)
    work = round(1_000 * (used.ru_utime + used.ru_stime))
    code = os.waitstatus_to_exitcode(status)
    if work > 1_000 * seconds or code < 0:
        return ("timeout" if work >= 1_000 * seconds else "memory"), min(work, round(1_000 * seconds))
    return ("ok" if code == 0 else "error"), work


if __name__ == "__main__":
    main(tyro.cli(Args))
