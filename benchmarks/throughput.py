"""How many transitions a second the ensemble imagines, beside mbrl-lib's `ModelEnv`, and how near that is to the limit.

    python -m benchmarks.throughput

Both have five probabilistic members of four hidden layers of 200, HalfCheetah-v5's sizes, one member a row, the same
number of threads, and take turns in one run. A world is named with the processor, since ratios depend on it as well.
Gedanken's figures include learned terminations, which mbrl-lib's `ModelEnv` does not have.

Results go to imagination.csv:

- `imagined_transitions`: transitions a second by batch (`benchmarks.peer_mbrl imagine` measures the peer alone).
- `share_of_peak`: operations of the dynamics' and the reward's matrix products alone, over those of the best product
  of JAX in the same run: a square one of 2,048, and one of the shape that a member has at this batch.
- `members_unrolled`: rows a second through the members as separate products and as one batched product.

Only a quiet machine gives figures worth keeping: medians over the repeats are what counts.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tyro

from benchmarks.peers.process import install, lines
from benchmarks.results import Figure, Results, here

WORLD = "HalfCheetah-v5"


@dataclass(frozen=True)
class Args:
    """Imagined transitions a second, Gedanken and mbrl-lib in turn."""

    threads: tuple[int, ...] = (1, 2)
    batches: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    repeats: int = 5
    seconds: float = 2.0
    """About how long one repeat takes."""


def main(args: Args) -> None:
    install()
    results = Results("imagination")
    options = ("--repeats", args.repeats, "--seconds", args.seconds, "--batches", *args.batches)
    for threads in args.threads:
        ours = list(lines(".venv", "benchmarks.peers.gedanken_imagine", *options, threads=threads))
        theirs = lines(".venv-mbrl", "benchmarks.peers.mbrl_model_env", "--threads", threads, *options, threads=threads)
        suffix = f"{threads}-thread{'s' * (threads > 1)}"
        put(results, "imagined_transitions", f"gedanken-{suffix}", transitions(ours))
        put(results, "imagined_transitions", f"mbrl-{suffix}", transitions(theirs))
        put(results, "share_of_peak", f"gedanken-{suffix}", shares(ours))
        for form in ("unrolled", "batched"):
            put(results, "members_unrolled", f"{form}-{suffix}", rows(ours, form))
    results.put_machine()


Found = Iterable[tuple[int, Figure]]
"""(repeat, figure)."""


def put(results: Results, claim: str, method: str, found: Found) -> None:
    """Writes the figures of one method, a repeat as a seed."""
    by_repeat: dict[int, list[Figure]] = collections.defaultdict(list)
    for repeat, figure in found:
        by_repeat[repeat].append(figure)
    for repeat, figures in by_repeat.items():
        results.put(claim=claim, world=here(WORLD), method=method, seed=repeat, figures=figures)


def transitions(printed: Iterable[dict[str, Any]]) -> Found:
    """Transitions a second by batch."""
    for line in printed:
        if "transitions_per_second" in line:
            metric = f"transitions_per_second_batch{line['batch']}"
            yield line["repeat"], Figure(0, metric, line["transitions_per_second"], line["seconds"])


def shares(printed: list[dict[str, Any]]) -> Found:
    """Both limits of each repeat, and the shares of them that were reached, in percent."""
    operations = next(line["network_flops"] for line in printed if "network_flops" in line)
    peaks = {(line["repeat"], line["shape"]): line["gflops"] for line in printed if "shape" in line}
    for (repeat, shape), gflops in peaks.items():
        yield repeat, Figure(0, f"sgemm_gflops_{shape}", gflops, 0.0)
    for line in printed:
        if "transitions_per_second" not in line:
            continue
        repeat, batch, reached = line["repeat"], line["batch"], line["transitions_per_second"] * operations / 1e9
        for name, shape in (("square", "2048"), ("shape", f"batch{batch}")):
            share = 100.0 * reached / peaks[repeat, shape]
            yield repeat, Figure(0, f"percent_of_{name}_batch{batch}", share, line["seconds"])


def rows(printed: Iterable[dict[str, Any]], form: str) -> Found:
    """Rows a second through the members in one form."""
    for line in printed:
        if line.get("form") == form:
            metric = f"rows_per_second_batch{line['batch']}"
            yield line["repeat"], Figure(0, metric, line["rows_per_second"], line["seconds"])


if __name__ == "__main__":
    main(tyro.cli(Args))
