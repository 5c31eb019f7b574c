"""Runs a peer in its own environment and reads the JSON lines it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from benchmarks.results import RESULTS

ROOT = RESULTS.parent.parent


def install() -> None:
    """Makes the peers' environments, .venv-peers and .venv-mbrl; takes no time when they are there."""
    subprocess.run(["make", "--silent", "install-peers"], cwd=ROOT, check=True)


def lines(environment: str, module: str, *arguments: object, threads: int = 1) -> Iterator[dict[str, Any]]:
    """What `module` prints, line by line, run by the Python of `environment` with so many threads.

    Raises:
        RuntimeError: the peer failed; what it had to say went to standard error.
    """
    with started(environment, module, arguments, threads=threads) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):  # mbrl-lib also prints what it logs
                continue
            print(f"{module} {' '.join(map(str, arguments))}: {line}", end="", file=sys.stderr, flush=True)
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(map(str, arguments))} failed with {process.returncode}")


def started(
    environment: str, module: str, arguments: Sequence[object], *, threads: int = 1, stdin: int | None = None
) -> subprocess.Popen[str]:
    """`module` at work in the Python of `environment`, its standard output a pipe."""
    command = [str(ROOT / environment / "bin" / "python"), "-m", module, *map(str, arguments)]
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    settings = os.environ | dict.fromkeys(names, str(threads))
    return subprocess.Popen(command, cwd=ROOT, env=settings, stdin=stdin, stdout=subprocess.PIPE, text=True)


def in_turn(commands: Mapping[str, tuple[str, str, Sequence[object]]], repeats: int) -> Iterator[tuple[str, Any]]:
    """(name, what it printed) of several timed processes that wait for their turn, `repeats` times each, one by one.

    Args:
        commands: name -> environment, module and arguments; the modules use `benchmarks.peers.common.turns`.
        repeats: turns of each.

    Raises:
        RuntimeError: a process ended before its turn.
    """
    with ExitStack() as stack:
        waiting: dict[str, subprocess.Popen[str]] = {}
        for name, (environment, module, arguments) in commands.items():
            process = started(environment, module, arguments, stdin=subprocess.PIPE)
            waiting[name] = stack.enter_context(process)  # closes its standard input, which ends it
            _answer(name, process)  # warm, before the next one begins
        for _ in range(repeats):
            for name, process in waiting.items():
                assert process.stdin is not None
                print(file=process.stdin, flush=True)
                yield name, _answer(name, process)


def _answer(name: str, process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            print(f"{name}: {line}", end="", file=sys.stderr, flush=True)
            return json.loads(line)
    raise RuntimeError(f"{name} ended before its turn")


def side_by_side(work: Callable[[int], None], seeds: Iterable[int], parallel: int) -> None:
    """Does `work(seed)` for every seed, `parallel` of them at a time (each with one thread: one a core is best)."""
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        list(pool.map(work, seeds))  # reading the answers raises what a seed raised
