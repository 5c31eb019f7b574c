"""Writes the tables of README.md and docs/ from the result files, between these two markers:

    <!-- results:NAME -->
    <!-- /results -->

NAME is one of `TABLES` below. Run `python -m benchmarks.readme` after a benchmark; `--check` only says what is stale
(exit status 1), for `make check`. A figure that no result file holds prints as `not measured`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from benchmarks.results import RESULTS, read
from benchmarks.tables import Acceleration, AcrossWorlds, AnyTable, Clock, Correlations, Faults, Goals, Line, Table
from gedanken.worlds.ml_engineering.suite import catalogue as tasks
from gedanken.worlds.science.table import catalogue

ROOT = RESULTS.parent.parent
_MARKED = re.compile(r"(<!-- results:(?P<name>[\w-]+) -->\n)(?P<table>.*?)(<!-- /results -->)", re.DOTALL)


_LEARNERS = {"gedanken": "Gedanken", "sb3-sac": "SB3 SAC", "sb3-sac-zoo": "SB3 SAC, zoo", "mbrl-mbpo": "mbrl-lib MBPO"}
_ESTIMATORS = {
    "model": "model",
    "fitted-q": "fitted Q",
    "weighted-importance-sampling": "weighted importance sampling",
    "doubly-robust": "doubly robust",
}
_PROCESSORS = {"AMD EPYC": "AMD", "Intel(R) Xeon(R) Processor": "Intel"}
_SEARCHERS = {
    "gedanken": "Gedanken",
    "log-ei": "LogEI, a length scale each",
    "gp-ei": "GP-EI",
    "botorch": "BoTorch",
    "baybe": "BayBE",
    "gedanken-permuted": "Gedanken, outcomes shuffled",
}
_INTERVALS = {
    "ppi-t": "with the model",
    "real only, Student's t": "real returns alone",
    "ppi++ (asymptotic)": "PPI++, asymptotic",
}
_STUDIES = [
    (f"{kind} model, {episodes} real episodes", f"gaussian, {kind} model", episodes)
    for kind in ("good", "useless", "biased")
    for episodes in (5, 10, 20, 50)
]
_SISTERS = (
    *(f"reizman_suzuki_{number}" for number in (1, 2, 3, 4)),
    *("baumgartner_aniline", "baumgartner_benzamide", "photo_wf3", "photo_pce10"),
)
_HELD_OUT = tuple(name for name, entry in tasks().items() if entry["group"] == "held-out")
_RANKED = ("InvertedPendulum-v5", "Pendulum-v1", "Hopper-v5")

TABLES: Mapping[str, AnyTable] = {
    "learning": Table(
        topic="learning",
        claim="sample_efficiency",
        corner="mean return after so many paid steps",
        methods=_LEARNERS,
        lines=[
            Line(f"{world}, {paid:,}", world, "return", paid)
            for world, budgets in {
                "InvertedPendulum-v5": (1_500, 3_000, 20_000),
                "Pendulum-v1": (2_000, 3_000, 20_000),
                "Hopper-v5": (50_000,),
                "HalfCheetah-v5": (50_000,),
            }.items()
            for paid in budgets
        ],
    ),
    "goals": Goals(
        topic="learning",
        claim="sample_efficiency",
        corner="paid steps until the mean return is",
        methods=_LEARNERS,
        goals={"InvertedPendulum-v5": 950, "Pendulum-v1": -200, "Hopper-v5": 2_500, "HalfCheetah-v5": 5_000},
    ),
    "agents": Table(
        topic="learning",
        claim="sample_efficiency",
        corner="mean return after so many paid steps",
        methods={"gedanken": "value gradient", "gedanken-sac-infoprop": "SAC in the Dyna style"},
        lines=[
            Line("InvertedPendulum-v5, 1,500", "InvertedPendulum-v5", "return", 1_500),
            Line("Pendulum-v1, 2,000", "Pendulum-v1", "return", 2_000),
        ],
    ),
    "clock": Clock(
        topic="learning",
        claim="sample_efficiency",
        corner="seconds to the same return, one thread",
        ours="gedanken",
        peer="mbrl-mbpo",
        peer_name="mbrl-lib MBPO, 3,000 paid steps",
        worlds=("InvertedPendulum-v5", "Pendulum-v1"),
    ),
    "ledger": Faults(
        topic="ledger",
        claim="ledger",
        corner="the ledger's process or disk is",
        trials="trials",
        faults={"overspent": "overspent", "twice": "paid twice", "lost": "lost", "unpaid": "done but not paid"},
    ),
    "selection": Table(
        topic="evidence",
        claim="selection",
        corner="regret of the chosen policy of 20",
        methods={
            "gedanken": "Gedanken",
            "gedanken-without-model": "without a model",
            "sequential-halving": "sequential halving",
            "uniform": "uniform",
            "model-only": "model alone",
        },
        lines=[
            Line(f"{kind} model, {episodes} real episodes", f"20 policies, {kind} model", "regret", episodes)
            for kind in ("good", "useless", "reversed", "slander", "exploited")
            for episodes in (10, 20, 50)
        ],
        digits=2,
    ),
    "imagined-evaluation": Table(
        topic="evidence",
        claim="imagined_evaluation",
        corner="seconds, once compiled",
        methods={"gedanken-1-thread": "1 thread", "gedanken-2-threads": "2 threads"},
        lines=[
            Line("1,000 imagined episodes of 200 steps, sizes of HalfCheetah-v5", "HalfCheetah-v5", "seconds_1000x200")
        ],
        summary="median",
        counted="repeats",
        digits=1,
    ),
    "ranking": Correlations(
        topic="evidence",
        claim="ranking",
        corner="Spearman's correlation with the real returns",
        methods=_ESTIMATORS,
        worlds=_RANKED,
        metric="spearman",
        estimated="estimated",
    ),
    "ranking-regret": Table(
        topic="evidence",
        claim="ranking",
        corner="share of best minus worst that is lost",
        methods=_ESTIMATORS | {"sequential-halving": "sequential halving", "uniform": "uniform"},
        lines=[Line(f"{world}, 10 real episodes", world, "regret_after_10") for world in _RANKED],
        digits=3,
    ),
    "updates": Table(
        topic="updates",
        claim="agent_updates",
        corner="SAC updates a second, one thread",
        methods={"gedanken": "Gedanken", "sb3": "SB3", "sbx": "SBX, 100 a call", "sbx-default": "SBX, 1 a call"},
        lines=[
            Line(f"2x{size}, batch {size}", "HalfCheetah-v5", f"updates_per_second_2x{size}_batch{size}")
            for size in (256, 128)
        ],
        summary="median",
        counted="repeats",
        ratio=("gedanken", "sb3"),
    ),
    "imagination": Table(
        topic="imagination",
        claim="imagined_transitions",
        corner="imagined transitions a second, 5 members of 4x200",
        methods={
            "gedanken-1-thread": "Gedanken, 1 thread",
            "mbrl-1-thread": "mbrl-lib, 1 thread",
            "gedanken-2-threads": "Gedanken, 2 threads",
            "mbrl-2-threads": "mbrl-lib, 2 threads",
        },
        lines=[
            Line(f"batch {batch:,}, {short}", f"HalfCheetah-v5 on {processor}", f"transitions_per_second_batch{batch}")
            for processor, short in _PROCESSORS.items()
            for batch in (100, 1_000, 10_000, 100_000)
        ],
        summary="median",
        counted="repeats",
        ratio=("gedanken-1-thread", "mbrl-1-thread"),
    ),
    "science": Table(
        topic="science",
        claim="experiments_to_the_best",
        corner="experiments to one of the best 1 %",
        methods={"random": "by chance", **_SEARCHERS},
        lines=[Line(name, name, "experiments") for name in catalogue()],
        summary="median",
        digits=1,
        ratio=("random", "gedanken"),
    ),
    "acceleration": Acceleration(
        topic="science",
        claim="experiments_to_the_best",
        corner="experiments by chance / with",
        methods=_SEARCHERS,
        chance="random",
        worlds=tuple(catalogue()),
    ),
    "transfer": Table(
        topic="science",
        claim="transfer",
        corner="experiments from nothing to one of the best",
        methods={"cold": "alone", "sisters": "with sister campaigns", "misleading": "with these upside down"},
        lines=[
            Line(f"{name}, {percent} %", name, f"experiments_{percent}") for percent in (10, 5, 1) for name in _SISTERS
        ],
        summary="median",
        digits=1,
        ratio=("cold", "sisters"),
    ),
    "money": Table(
        topic="science",
        claim="money",
        corner="to 95 % of the best yield",
        methods={
            "thrifty": "counting costs",
            "cost-blind": "the same, blind to costs",
            "log-ei": "LogEI, blind to costs",
            "random": "by chance",
        },
        lines=[
            Line("baumgartner_aniline, USD of reagents", "baumgartner_aniline", "usd"),
            Line("baumgartner_aniline, experiments", "baumgartner_aniline", "experiments"),
            *(
                Line(f"coupling_{case}, {label}", f"coupling_{case}", metric)
                for case in range(1, 6)
                for label, metric in (("hours of the reactor", "hours"), ("experiments", "experiments"))
            ),
        ],
        digits=2,
    ),
    "foretelling": AcrossWorlds(
        topic="ml_engineering",
        claim="foretelling",
        corner="on held-out tasks, median and range over tasks",
        methods={f"{count} anchors": f"after {count} of its own runs" for count in (0, 10, 20)},
        lines={
            "failure_auroc": "failure, area under the curve",
            "work_within_1.5": "duration within a factor of 1.5, share",
            "score_spearman": "rank correlation of scores within a task",
            "pairs": "the better of two, share",
            "pairs_validation": "the same by both validation scores, once measured",
            "coverage_score": "90 % intervals of scores that held, share",
            "coverage_work": "90 % intervals of durations that held, share",
        },
        worlds=_HELD_OUT,
        counted="tasks",
    ),
    "duration": Table(
        topic="ml_engineering",
        claim="duration_bias",
        corner="relative error of the mean gradient, 20 seeds of 20 windows",
        methods={"plain": "plain", "duration_aware": "weighed by duration"},
        lines=[
            Line(label, f"{world}_expected", "relative_error")
            for world, label in (
                ("bound", "each worker keeps to one action"),
                ("anew", "workers draw anew"),
                ("anew_beginning", "workers draw anew, the first 90 s"),
                ("abandoned", "each update stops what runs"),
            )
        ],
        counted="estimates",
        digits=2,
    ),
    "control": Table(
        topic="science",
        claim="process_control",
        corner="after 20 paid episodes",
        methods={"gedanken": "Gedanken"},
        lines=[
            Line(f"{world}, {label}", world, metric)
            for world in ("stirred_tank", "four_tanks")
            for metric, label in (
                ("gap", "gap to the oracle in % of what a random controller loses"),
                ("return", "return"),
                ("oracle", "return of the oracle"),
                ("random", "return of a random controller"),
            )
        ],
        digits=1,
    ),
    "coverage": Table(
        topic="evidence",
        claim="value_coverage",
        corner="coverage of 90 % intervals",
        methods=_INTERVALS,
        lines=[Line(label, world, "coverage", episodes) for label, world, episodes in _STUDIES],
        counted="runs",
        digits=3,
    ),
    "needed": Table(
        topic="evidence",
        claim="value_coverage",
        corner="real episodes for the same width, as a share",
        methods={"ppi-t": "with the model"},
        lines=[Line(label, world, "needed", episodes) for label, world, episodes in _STUDIES],
        counted="runs",
        digits=2,
    ),
    "saved": Table(
        topic="evidence",
        claim="ranking",
        corner="real episodes for an interval as narrow, in percent of real returns alone",
        methods={"model": "with the learned model"},
        lines=[Line(f"{world}, median of its policies", world, "episodes_needed") for world in _RANKED],
        digits=0,
    ),
    "anchors": Table(
        topic="evidence",
        claim="anchors",
        corner="Pendulum-v1, 1,500 steps, 20 episodes a seed",
        methods={"model-only": "learned reward alone", "anchored": "anchored", "real-only": "real rewards alone"},
        lines=[
            Line(f"{kind} reward, {label}", f"Pendulum-v1, {kind} reward", metric)
            for kind in ("biased", "bent")
            for metric, label in (("return", "return"), ("reward_cost", "share of rewards paid for"))
        ],
        digits=2,
    ),
    "quickstart": Table(
        topic="quickstart",
        claim="quickstart",
        corner="`make quickstart`, two cores",
        methods={"gedanken": "median and range"},
        lines=[
            Line("seconds, installing included", "two robots", "total_seconds"),
            Line("seconds, once installed", "two robots", "seconds"),
            Line("seconds, the second time", "two robots", "seconds_again"),
            Line("return of InvertedPendulum-v5", "two robots", "return:InvertedPendulum-v5"),
            Line("return of Pendulum-v1", "two robots", "return:Pendulum-v1"),
        ],
        summary="median",
    ),
    "peak": Table(
        topic="imagination",
        claim="share_of_peak",
        corner="its matrix products, in percent of the best of the same run",
        methods={"gedanken-1-thread": "1 thread", "gedanken-2-threads": "2 threads"},
        lines=[
            Line(f"batch {batch:,}, {short}", f"HalfCheetah-v5 on {processor}", f"percent_of_square_batch{batch}")
            for processor, short in _PROCESSORS.items()
            for batch in (100, 1_000, 10_000, 100_000)
        ],
        summary="median",
        counted="repeats",
    ),
}


@dataclass(frozen=True)
class Args:
    """Writes the tables of README.md and docs/ from benchmarks/results/."""

    check: bool = False
    """Change nothing; say what is stale and exit with 1."""
    files: Sequence[Path] = field(default_factory=lambda: [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    """The files whose tables to write."""


def main(args: Args) -> int:
    stale = []
    for path in args.files:
        old = path.read_text()
        new = fill(old, TABLES, RESULTS, path.name)
        if new != old:
            stale.append(path.name)
            if not args.check:
                path.write_text(new)
    if stale:
        print(f"{'stale' if args.check else 'written'}: {', '.join(stale)}")
    if stale and args.check:
        print("Do: python -m benchmarks.readme")
        return 1
    return 0


def fill(text: str, tables: Mapping[str, AnyTable], results: Path, name: str) -> str:
    """`text` with what stands between its markers made anew.

    Raises:
        ValueError: a marker names no table, or has no end.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["name"] not in tables:
            raise ValueError(f"{name} asks for the table {match['name']!r}; there are {', '.join(tables) or 'none'}")
        return f"{match[1]}{markdown(tables[match['name']], results)}{match[4]}"

    if text.count("<!-- results:") != len(_MARKED.findall(text)):
        raise ValueError(f"{name} has a results marker without an end, or not at the start of its lines")
    return _MARKED.sub(replaced, text)


def markdown(table: AnyTable, results: Path) -> str:
    """The table as Markdown, ending in a newline."""
    rows = [row for row in read(results / f"{table.topic}.csv") if row.claim == table.claim]
    heads = table.heads()
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *table.body(rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
