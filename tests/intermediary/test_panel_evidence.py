"""What is asked of a panel that was played: all questions, of its own episodes alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gedanken.evidence.table import ReturnTable
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.panel import PANEL, Panel, PanelConfig, play_panel
from gedanken.intermediary.panel_evidence import judge_panel
from gedanken.intermediary.run import Run
from gedanken.intermediary.stages import read_experience
from tests.intermediary.small import linear, small

TINY = PanelConfig(stages=2, shares=(0.0, 0.5), updates=20, episodes=2, imagined=3)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Panel]]:
    folder = tmp_path_factory.mktemp("panel") / "run"
    with Intermediary(linear(), config=small(), folder=folder) as between:
        between.run()
    with Run.open(folder, world=linear()) as run:
        read_experience(run)
        yield run, play_panel(run, TINY)


def test_every_question_is_asked_and_written_down(played: tuple[Run, Panel]) -> None:
    run, panel = played
    found = judge_panel(run, panel, spend=4)
    assert set(found.judgement.policies) == {member.name for member in panel.members}
    assert found.judgement.replays["imagined"].episodes == 4
    held = found.held_out_policies
    assert held.policies == len(panel.members) and held.episodes == 2 * len(panel.members)
    assert set(found.exploitation) == {"value_gradient", "sac"}
    for curve in found.exploitation.values():
        assert curve.steps == (5, 20) and curve.paired and all(each.count == 2 for each in curve.real)
    written = json.loads((run.folder / PANEL / "evidence.json").read_text())
    assert written == json.loads(json.dumps({"paid": {"steps": 60}, "confidence": 0.95, **found.to_json()}))
    assert Path(run.folder / PANEL / "returns.csv").exists()


def test_exploitation_follows_the_undisturbed_policies_of_a_learner(played: tuple[Run, Panel]) -> None:
    run, panel = played
    curve = judge_panel(run, panel).exploitation["sac"]
    for updates, real, gap in zip(curve.steps, curve.real, curve.gap, strict=True):
        pairs = panel.table.pairs(f"sac {updates}", "imagined")
        assert real.mean == pytest.approx(pairs.real.mean())
        assert gap.mean == pytest.approx((pairs.imagined - pairs.real).mean())


def test_policies_that_played_less_often_are_not_compared_start_by_start(played: tuple[Run, Panel]) -> None:
    run, panel = played
    rows = [row for row in panel.table.rows if (row.policy, row.source, row.episode) != ("sac 20", "real", 1)]
    less = replace(panel, table=ReturnTable.of(rows))
    curves = judge_panel(run, less).exploitation
    assert not curves["sac"].paired and curves["value_gradient"].paired
    assert [each.count for each in curves["sac"].real] == [2, 1]


def test_a_policy_whose_pairs_are_all_unfit_has_no_place_in_a_curve(played: tuple[Run, Panel]) -> None:
    run, panel = played
    rows = [r for r in panel.table.rows if (r.policy, r.source) != ("sac 20", "imagined") or r.episode >= 2]
    found = judge_panel(run, replace(panel, table=ReturnTable.of(rows)))
    assert set(found.exploitation) == {"value_gradient"}


def test_a_learner_with_one_policy_has_no_curve(played: tuple[Run, Panel]) -> None:
    run, panel = played
    few = replace(panel, members=tuple(member for member in panel.members if member.name != "sac 5"))
    found = judge_panel(run, few)
    assert set(found.exploitation) == {"value_gradient"}
    assert found.held_out_policies.policies == len(panel.members) - 1
    assert np.isfinite(found.exploitation["value_gradient"].regret)
