"""A table is asked every question, for every estimator that it names."""

from __future__ import annotations

import json

import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.judgement import NO_MODEL, judge
from gedanken.evidence.prediction_powered import prediction_powered
from gedanken.evidence.table import ReturnTable, Row
from tests.evidence.tables import rows, table


def test_every_estimator_is_ranked_valued_and_selected_by() -> None:
    found = judge(table(estimators=("imagined", "fqe")), spend=6, replays=5, seed=0)
    assert found.estimators == ("imagined", "fqe")
    assert found.episodes == {"real": 24, "imagined": 48, "fqe": 48}
    for source in found.estimators:
        assert found.rankings[source]["spearman"].mean == pytest.approx(1.0)
        assert found.selections[source].chosen == "p5"
        assert found.selections[source].paid == 24
        assert found.replays[source].episodes == 6
    assert [(value.policy, value.source) for value in found.values[:2]] == [("p0", "imagined"), ("p1", "imagined")]
    assert found.real["p3"].mean == pytest.approx(30.0, abs=6.0)
    json.dumps(found.to_json(), allow_nan=False)


def test_pairs_cancel_the_luck_of_the_start_where_all_real_episodes_have_one() -> None:
    paired = judge(table(real=8, imagined=8), seed=0).values[2].comparison
    assert paired.paired
    assert paired.difference.low <= 5.0 <= paired.difference.high
    apart = ReturnTable.of([row if row.source == "real" else row._replace(seed=row.seed + 100) for row in rows(real=8)])
    alone = judge(apart, seed=0).values[2].comparison
    assert not alone.paired
    assert alone.difference.high - alone.difference.low > 1.5 * (paired.difference.high - paired.difference.low)


def test_more_imagined_episodes_than_pairs_all_count_for_the_mean() -> None:
    value = judge(table(real=3, imagined=40), seed=0).values[0].comparison
    assert (value.paired, value.difference.count, value.imagined.count) == (True, 3, 40)


def test_a_value_from_both_sides_is_prediction_powered() -> None:
    given = table(real=6, imagined=60)
    found = judge(given, seed=0).values[2]
    expected = prediction_powered(**given.pairs("p2", "imagined")._asdict(), seed=0)
    assert found.powered == expected.prediction_powered
    assert found.saved == expected.saved > 0.0
    assert found.powered.high - found.powered.low < found.comparison.real.high - found.comparison.real.low
    bounded = judge(given, bounds=(-50.0, 150.0), seed=0).values[2].powered
    assert bounded.method == "ppi-betting"


def test_a_value_from_both_sides_needs_pairs_and_more() -> None:
    apart = ReturnTable.of([row if row.source == "real" else row._replace(seed=row.seed + 100) for row in rows()])
    assert "started alike" in judge(apart, seed=0).values[0].powered.reason
    assert "too few" in judge(table(real=4, imagined=4), seed=0).values[0].powered.reason


def test_a_policy_without_one_side_is_left_out_of_the_ranking_and_said_to_be() -> None:
    more = [*rows(), Row("new", "imagined", 0, 0, 90.0), Row("old", "real", 0, 0, -9.0)]
    found = judge(ReturnTable.of(more), seed=0)
    assert found.unranked == {"imagined": ("new", "old")}
    assert found.rankings["imagined"].policies == tuple(f"p{k}" for k in range(6))
    assert "real" in next(v for v in found.values if v.policy == "new").comparison.difference.reason
    assert "old" not in [value.policy for value in found.values]
    assert {each.policy for each in found.selections["imagined"].candidates} == {*found.policies}
    assert found.real["new"].mean is None


def test_real_returns_alone_still_choose() -> None:
    found = judge(table(estimators=()), spend=12, replays=5, seed=0)
    assert found.rankings == {} and found.values == ()
    assert found.selections[NO_MODEL].chosen == "p5"
    assert found.replays[NO_MODEL]["uniform"].regret.mean is not None


def test_a_replay_that_cannot_be_says_why() -> None:
    found = judge(table(real=1), spend=5, seed=0)
    assert "fewer than two recorded" in found.replays["imagined"]["gedanken"].regret.reason


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"spend": 0}, "spends episodes"),
        ({"spend": 3, "replays": 0}, "needs episodes"),
        ({"confidence": 1.0}, "probability"),
        ({"bounds": (0.0, 1.0)}, "outside of the bounds"),
    ],
)
def test_wrong_input_is_refused(changes: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        judge(table(), **{"seed": 0, **changes})
