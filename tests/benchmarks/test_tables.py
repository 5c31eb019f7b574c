"""Curves become goals and clocks, trials become faults; what was not measured or not reached says so."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import Row
from benchmarks.tables import Clock, Correlations, Faults, Goals, curves, reached


def curve(method: str, seed: int, *points: tuple[int, float, float], world: str = "Pendulum-v1") -> list[Row]:
    """(paid, return, seconds) as rows, in a muddled order."""
    return [Row("c", world, method, seed, paid, "return", value, s, "x") for paid, value, s in reversed(points)]


OURS = [
    *curve("ours", 0, (200, -900.0, 10.0), (400, -140.0, 20.0), (600, -300.0, 30.0)),
    *curve("ours", 1, (200, -900.0, 12.0), (600, -120.0, 36.0)),
]
PEER = [
    *curve("peer", 0, (1_000, -800.0, 300.0), (3_000, -145.0, 900.0)),
    *curve("peer", 1, (3_000, -180.0, 600.0)),
]


def goals(rows: Sequence[Row], **worlds: float) -> list[list[str]]:
    return Goals("t", "c", "steps", {"ours": "Gedanken", "peer": "MBPO"}, worlds).body(rows)


def test_a_goal_counts_where_it_is_reached_first() -> None:
    rows = [*OURS, *PEER, *curve("ours", 0, (50, 0.0, 1.0), world="Other")]
    assert [
        first.paid for each in curves(rows, "Pendulum-v1", "ours", "return").values() if (first := reached(each, -200))
    ]
    (line,) = goals(rows, **{"Pendulum-v1": -200.0})
    assert line == ["Pendulum-v1, -200", "500 [400, 600], 2 of 2 seeds", "3,000 [3,000, 3,000], 2 of 2 seeds"]


def test_a_goal_that_some_or_none_reached_says_so() -> None:
    assert goals(OURS, **{"Pendulum-v1": -130.0}) == [["Pendulum-v1, -130", "600, 1 of 2 seeds", "not measured"]]
    assert goals(OURS, **{"Pendulum-v1": 0.0})[0][1] == "0 of 2 seeds within 600"
    assert goals([], **{"Pendulum-v1": 0.0})[0][1:] == ["not measured", "not measured"]


def test_the_clock_runs_to_the_peers_last_return_of_the_same_seed() -> None:
    table = Clock("t", "c", "seconds", "ours", "peer", "MBPO", ["Pendulum-v1", "Hopper-v5"])
    there, nowhere = table.body([*OURS, *PEER])
    # The peer ends at -145 and -180, after 750 s in the median; ours is at the one after 20 s, at the other after 36 s.
    assert there == ["Pendulum-v1", "-162, 2 seeds", "750 s", "28 s [20, 36], 2 seeds", "26.8"]
    assert nowhere == ["Hopper-v5", *["not measured"] * 4]
    better = curve("peer", 0, (3_000, -100.0, 900.0))
    assert table.body([*OURS, *better])[0][1:] == ["-100, 1 seed", "900 s", "0 of 1 seed", "not measured"]
    assert len(table.heads()) == len(there)


def test_faults_are_summed_over_seeds() -> None:
    rows = [
        Row("ledger", "", method, seed, 0, metric, value, 1.0, "x")
        for method in ("killed", "cut")
        for seed in (0, 1)
        for metric, value in (("trials", 100.0 + seed), ("lost", float(seed and method == "cut")))
    ]
    table = Faults("ledger", "ledger", "it is", "trials", {"lost": "lost", "twice": "paid twice"})
    assert table.body(rows) == [["killed", "201", "0", "not measured"], ["cut", "201", "1", "not measured"]]
    assert table.body([]) == [["nothing", "not measured", "not measured", "not measured"]]


def ranked(method: str, seed: int, **figures: float) -> list[Row]:
    return [Row("c", "Hopper-v5", method, seed, 100, name, value, 1.0, "x") for name, value in figures.items()]


def test_a_correlation_has_the_interval_that_was_measured_with_it() -> None:
    table = Correlations(
        "t", "c", "corner", {"a": "A", "b": "B", "d": "D", "e": "E"}, ["Hopper-v5"], "spearman", "estimated"
    )
    rows = [
        *ranked("a", 0, estimated=25, spearman=0.8, spearman_low=0.6, spearman_high=0.9),
        *ranked("b", 0, estimated=20, spearman=0.5),
        *ranked("b", 1, estimated=24, spearman=0.7),
        *ranked("d", 0, estimated=3),
        *ranked("d", 1, estimated=0),
    ]
    (line,) = table.body(rows)
    assert line == [
        "Hopper-v5",
        "0.80 [0.60, 0.90], 25 policies, 1 seed",
        "0.60, 22 policies, 2 seeds",
        "not measured: 3 policies",
        "not measured",
    ]


def test_ends_of_a_correlation_are_averaged_over_seeds_where_all_have_them() -> None:
    table = Correlations("t", "c", "corner", {"a": "A"}, ["Hopper-v5"], "spearman", "estimated")
    rows = ranked("a", 0, estimated=25, spearman=0.8, spearman_low=0.6, spearman_high=0.9)
    both = [*rows, *ranked("a", 1, estimated=25, spearman=0.4, spearman_low=0.2, spearman_high=0.7)]
    assert table.body(both) == [["Hopper-v5", "0.60 [0.40, 0.80], 25 policies, 2 seeds"]]
    some = [*rows, *ranked("a", 1, estimated=25, spearman=0.4)]
    assert table.body(some) == [["Hopper-v5", "0.60, 25 policies, 2 seeds"]]
