"""Runs a peer in its own environment and reads the JSON lines it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    command = [str(ROOT / environment / "bin" / "python"), "-m", module, *map(str, arguments)]
    alone = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    settings = os.environ | {name: str(value) for name, value in alone.items()}
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):  # mbrl-lib also prints what it logs
                continue
            print(f"{module} {' '.join(map(str, arguments))}: {line}", end="", file=sys.stderr, flush=True)
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(map(str, arguments))} failed with {process.returncode}")


def side_by_side(work: Callable[[int], None], seeds: Iterable[int], parallel: int) -> None:
    """Does `work(seed)` for every seed, `parallel` of them at a time (each with one thread: one a core is best)."""
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        list(pool.map(work, seeds))  # reading the answers raises what a seed raised
