"""Claim: the two commands a new user types first are done in minutes, installing included.

    python -m benchmarks.quickstart

Each repeat clones this repository's last commit into an empty folder, installs it as `make quickstart` does, and runs
`gedanken quickstart` (both robots, with another seed each time) with an empty compilation cache, then once more with a
filled one. Results go to quickstart.csv:

- `install_seconds`: `make install`; packages come from wherever pip finds them, its own cache included.
- `seconds`: of the quickstart, as a new user's: nothing is compiled yet.
- `total_seconds`: of both.
- `seconds_again`: of a second quickstart.
- `return:<world>`: the mean real return of each robot's agent, so that no speed is bought with it.

It is only worth keeping from a machine that does nothing else; all cores are used.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.peers.process import ROOT
from benchmarks.results import Figure, Results


@dataclass(frozen=True)
class Args:
    """Seconds until a new user has two robots solved."""

    seeds: tuple[int, ...] = (0, 1, 2)


def main(args: Args) -> None:
    results = Results("quickstart")
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            results.put(
                claim="quickstart",
                world="two robots",
                method="gedanken",
                seed=seed,
                figures=_one(Path(temporary), seed),
            )
    results.put_machine()


def _one(folder: Path, seed: int) -> list[Figure]:
    clone = folder / "gedanken"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    surroundings = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    surroundings["XDG_CACHE_HOME"] = str(folder / "cache")
    # pip's downloads are not what is measured; a folder of its own would fetch them anew for every seed.
    surroundings.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    install, _ = _timed(["make", "--silent", "install"], clone, surroundings)
    command = [".venv/bin/gedanken", "quickstart", "--seed", str(seed), "--json"]
    first, said = _timed(command, clone, surroundings)
    again, _ = _timed(command, clone, surroundings)
    figures = {"install_seconds": install, "seconds": first, "total_seconds": install + first, "seconds_again": again}
    print(json.dumps({"seed": seed, **figures}), flush=True)
    return [
        *(Figure(0, metric, took, took) for metric, took in figures.items()),
        *(
            Figure(sum(run["paid"].values()), f"return:{run['world']}", run["real_return"]["mean"], run["seconds"])
            for run in json.loads(said.strip().splitlines()[-1])["runs"]
        ),
    ]


def _timed(command: list[str], clone: Path, surroundings: Mapping[str, str]) -> tuple[float, Any]:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=clone, env=surroundings, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main(tyro.cli(Args))
