"""The panel: policies of every quality, paid for once, played from the same seeds in the world and in the model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.errors import ConfigError, Interrupted
from gedanken.evidence.table import read_returns
from gedanken.experience.store import Experience
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.panel import PANEL, PanelConfig, make_panel, panel_seed, play_panel
from gedanken.intermediary.run import Run
from gedanken.intermediary.stages import read_experience
from gedanken.worlds.ledger import Ledger
from tests.intermediary.small import HORIZON, StopAt, linear, small

TINY = PanelConfig(stages=2, shares=(0.0, 0.5), updates=20, episodes=2, imagined=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel") / "run"
    with Intermediary(linear(), config=small(), folder=folder) as between:
        between.run()
    return folder


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Iterator[Run]:
    with Run.open(shutil.copytree(folder, tmp_path / "run"), world=linear()) as run:
        read_experience(run)
        yield run


def test_every_policy_plays_from_the_same_seeds_and_is_paid_for_apart(run: Run) -> None:
    before = run.paid()
    panel = play_panel(run, TINY)
    assert len(panel.members) == 2 * 2 * 2 + 1 == len(panel.table.policies)
    assert panel.missing == panel.unfit == 0
    assert panel.paid == {"steps": 9 * 2 * HORIZON} and run.paid() == before
    seeds = {(panel_seed(run, number), number) for number in range(2)}
    for policy in panel.table.policies:
        assert set(panel.table.episodes[policy, "real"]) == seeds
        assert len(panel.table.returns(policy, "imagined")) == 2 + 3
        assert len(panel.table.pairs(policy, "imagined")[0]) == 2
    assert read_returns(run.folder / PANEL / "returns.csv").policies == panel.table.policies


def test_the_same_again_pays_nothing_and_more_pays_for_the_rest(run: Run) -> None:
    first = play_panel(run, TINY)
    again = play_panel(run, TINY)
    assert again.paid == first.paid and again.table == first.table
    more = play_panel(run, PanelConfig(**{**vars(TINY), "episodes": 3}))
    assert more.paid == {"steps": 9 * 3 * HORIZON}
    for policy in first.table.policies:
        assert np.array_equal(more.table.returns(policy, "real")[:2], first.table.returns(policy, "real"))


def test_a_panel_that_was_spent_on_other_policies_says_so(run: Run) -> None:
    play_panel(run, TINY)
    with pytest.raises(ConfigError, match="other policies"):
        play_panel(run, PanelConfig(**{**vars(TINY), "updates": 30, "shares": (0.1, 0.6)}))


def test_an_interrupted_panel_goes_on_where_it_stopped(run: Run) -> None:
    with pytest.raises(Interrupted):
        play_panel(run, TINY, watch=StopAt(PANEL, 8))  # four stages are told first
    with Ledger.open(run.folder / PANEL / "ledger.sqlite", run_id=run.id) as ledger:
        assert ledger.balance(PANEL).spent.of("steps") == 4 * HORIZON
    panel = play_panel(run, TINY)
    assert panel.missing == 0 and panel.paid == {"steps": 9 * 2 * HORIZON}


def test_policies_are_the_same_for_the_same_run_and_differ_from_each_other(run: Run) -> None:
    ids = [member.agent.id for member in make_panel(run, TINY)]
    assert ids == [member.agent.id for member in make_panel(run, TINY)] and len(set(ids)) == len(ids)


def test_log_probabilities_are_recorded(run: Run) -> None:
    play_panel(run, TINY)
    with Experience.open(run.folder / PANEL / "experience") as experience:
        for episode in experience.episodes(account=PANEL, complete=True):
            assert np.isfinite(episode.log_probabilities).all()


def test_a_run_without_a_model_has_no_panel(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", small(), world=linear()) as run, pytest.raises(ConfigError, match="has none"):
        make_panel(run, TINY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": 0}, "stages"),
        ({"episodes": 0}, "episodes"),
        ({"updates": 1}, "stage needs an update"),
        ({"shares": (0.0, 0.0)}, "shares"),
        ({"shares": (1.0,)}, "no share"),
        ({"learners": ()}, "learners"),
    ],
)
def test_a_panel_that_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PanelConfig(**{**vars(TINY), **changes})


def test_a_planner_is_no_learned_policy(run: Run) -> None:
    with pytest.raises(ConfigError, match="learned policies"):
        make_panel(run, PanelConfig(**{**vars(TINY), "learners": ("icem",)}))
