"""Claim: 1,000 imagined evaluation episodes of 200 steps take less than five seconds, once compiled.

    python -m benchmarks.evidence_speed

`gedanken.evidence.imagined_returns` with the default ensemble (five members of 200 units) at HalfCheetah-v5's sizes and
a policy of two layers of 256. Results go to evidence.csv:

- `seconds_1000x200`: of one call (episodes x steps), compiled before.
- `imagined_steps_per_second`: episodes times steps, over that.
- `seconds_with_compiling`: of the first call in a process, whose programs may come from the compilation cache.

Only a quiet machine gives figures worth keeping: medians over the repeats are what counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from benchmarks.peers.process import lines
from benchmarks.results import Figure, Results

CLAIM = "imagined_evaluation"
WORLD = "HalfCheetah-v5"


@dataclass(frozen=True)
class Args:
    """Seconds that imagined evaluation episodes take."""

    threads: tuple[int, ...] = (1, 2)
    episodes: int = 1_000
    horizon: int = 200
    repeats: int = 5


def main(args: Args) -> None:
    results = Results("evidence")
    options = ("--episodes", args.episodes, "--horizon", args.horizon, "--repeats", args.repeats)
    for threads in args.threads:
        method = f"gedanken-{threads}-thread{'s' * (threads > 1)}"
        compiling: list[Figure] = []
        for line in lines(".venv", "benchmarks.peers.gedanken_returns", *options, threads=threads):
            if "first_seconds" in line:
                took = line["first_seconds"]
                compiling = [Figure(0, "seconds_with_compiling", took, took)]
                continue
            took = line["seconds"]
            rate = args.episodes * args.horizon / took
            figures = [
                Figure(0, f"seconds_{args.episodes}x{args.horizon}", took, took),
                Figure(0, "imagined_steps_per_second", rate, took),
                *(compiling if line["repeat"] == 0 else ()),
            ]
            results.put(claim=CLAIM, world=WORLD, method=method, seed=line["repeat"], figures=figures)
    results.put_machine()


if __name__ == "__main__":
    main(tyro.cli(Args))
