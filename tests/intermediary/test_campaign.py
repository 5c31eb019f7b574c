"""Campaigns of experiments: what they find, that they survive being killed, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gedanken.errors import ConfigError, FileError
from gedanken.intermediary.campaign import Campaign, CampaignConfig
from gedanken.intermediary.found import median_by_chance
from gedanken.intermediary.run import LEARN
from gedanken.worlds.science.table import shipped
from gedanken.worlds.science.trials import TrialState

SMALL = CampaignConfig(world="snar", budget={"experiments": 9}, seed=3)
RANDOM = CampaignConfig(world="snar", budget={"experiments": 9}, seed=3, planner="random")

VICTIM = """
import sys
from pathlib import Path
from gedanken.intermediary.campaign import Campaign, CampaignConfig
config = CampaignConfig(world="snar", budget={"experiments": 9}, seed=3, planner="random")
with Campaign.create(Path(sys.argv[1]), config) as campaign:
    campaign.run()
"""


def test_it_spends_its_budget_and_tells_what_it_found(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "c", SMALL) as campaign:
        found = campaign.run()
        trials = campaign.trials()
    table = shipped("snar")
    assert found.paid == {"experiments": 9} and len(found.trace) == 9 == len(trials)
    assert all(later <= earlier for earlier, later in zip(found.trace, found.trace[1:], strict=False))
    assert found.best in table.pool
    assert found.trace[-1] == min(trial.results["e_factor"] for trial in trials)
    assert len({json.dumps(dict(trial.design)) for trial in trials}) == 9
    assert found.forecasts == 4  # the first five are not foreseen
    assert json.loads((tmp_path / "c" / "result.json").read_text())["trace"] == list(found.trace)


def test_a_forecast_is_on_disk_before_its_experiment_is_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gedanken.intermediary.campaign as module

    seen = []
    real = module.act

    def looking(*arguments: object, **named: object) -> object:
        lines = (tmp_path / "c" / "suggestions.jsonl").read_text().splitlines()
        seen.append((json.loads(lines[-1])["index"], named["episode_index"]))
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "act", looking)
    with Campaign.create(tmp_path / "c", RANDOM) as campaign:
        campaign.run()
    assert seen == [(i, i) for i in range(9)]


def test_scored_forecasts_are_those_that_were_written_down(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "c", SMALL) as campaign:
        found = campaign.run()
        inside = 0
        for trial in campaign.trials():
            for forecast in campaign.suggestions.entries[int(trial.id)].forecasts.values():
                inside += forecast.low <= trial.results["e_factor"] <= forecast.high
    assert found.inside == inside


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    traces = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        with Campaign.create(tmp_path / name, CampaignConfig(world="snar", budget={"experiments": 7}, seed=seed)) as c:
            traces.append(c.run().trace)
    assert traces[0] == traces[1] != traces[2]


def test_a_stopped_campaign_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "whole", SMALL) as campaign:
        whole = campaign.run()
    with Campaign.create(tmp_path / "stopped", SMALL) as campaign:
        for _ in range(6):
            campaign.step()
    with Campaign.open(tmp_path / "stopped") as campaign:
        found = campaign.run()
        assert campaign.step() is None
    assert (found.trace, found.best, found.inside) == (whole.trace, whole.best, whole.inside)


@pytest.mark.parametrize("label", ["act.reserved:4", "act.stepped:4", "act.recorded:4", "act.committed:4"])
def test_a_killed_campaign_pays_for_nothing_twice(tmp_path: Path, label: str) -> None:
    folder, root = tmp_path / "c", Path(__file__).parents[2]
    environment = {**os.environ, "GEDANKEN_KILL_AT": label}
    victim = subprocess.run([sys.executable, "-c", VICTIM, folder], cwd=root, env=environment, capture_output=True)
    assert victim.returncode == -9, victim.stderr.decode()
    with Campaign.open(folder) as campaign:
        found = campaign.run()
        trials = campaign.trials()
        reserved = [entry.action_id for entry in campaign.ledger.entries() if entry.kind == "reserve"]
        balance = campaign.ledger.balance(LEARN)
    assert found.paid == {"experiments": 9} and len(reserved) == len(set(reserved)) == 9
    measured = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    assert len(measured) == (9 if label in ("act.recorded:4", "act.committed:4") else 8)
    # What was in doubt stays charged; what was recorded and not committed is in doubt too.
    assert balance.unknown.of("experiments") == (0 if label == "act.committed:4" else 1)


def test_a_torn_suggestion_is_cut_off(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "c", RANDOM) as campaign:
        for _ in range(3):
            campaign.step()
    log = tmp_path / "c" / "suggestions.jsonl"
    with log.open("a") as file:
        file.write('{"index": 3, "pla')
    with Campaign.open(tmp_path / "c") as campaign:
        assert campaign.run().paid == {"experiments": 9} and len(campaign.trials()) == 9
    assert [json.loads(line)["index"] for line in log.read_text().splitlines()] == list(range(9))


def test_a_damaged_suggestion_is_told(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "c", RANDOM) as campaign:
        campaign.step()
    log = tmp_path / "c" / "suggestions.jsonl"
    log.write_text("nonsense\n" + log.read_text())
    with pytest.raises(FileError, match=r"Line 1 of suggestions\.jsonl"):
        Campaign.open(tmp_path / "c")


def test_a_pool_that_is_empty_ends_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,y\n1,2\n2,3\n3,1\n")
    config = CampaignConfig(table=str(table), objective="y", budget={"experiments": 10})
    with Campaign.create(tmp_path / "c", config) as campaign:
        found = campaign.run()
    assert found.paid == {"experiments": 3} and found.trace[-1] == 3.0


def test_a_table_is_kept_as_it_was(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,y\n1,2\n2,3\n3,1\n")
    config = CampaignConfig(table=str(table), objective="y", goal="min", budget={"experiments": 2})
    with Campaign.create(tmp_path / "c", config) as campaign:
        campaign.step()
    table.unlink()
    with Campaign.open(tmp_path / "c") as campaign:
        assert len(campaign.run().trace) == 2
    (tmp_path / "c" / "table.csv").write_text("x,y\n1,2\n2,4\n3,1\n")
    with pytest.raises(FileError, match="not the one it was begun with"):
        Campaign.open(tmp_path / "c")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CampaignConfig(), "What is experimented on"),
        (CampaignConfig(world="snar", table="x.csv"), "What is experimented on"),
        (CampaignConfig(world="nope"), "no such table"),
        (CampaignConfig(world="robotics/Pendulum-v1"), "no world of experiments"),
        (CampaignConfig(world="snar", budget={"steps": 5}), "budget does not fit"),
        (CampaignConfig(world="snar", budget={"experiments": 0}), "budget does not fit"),
        (CampaignConfig(world="snar", budget={}), "budget does not fit"),
    ],
)
def test_what_makes_no_campaign_is_refused_and_leaves_nothing(
    tmp_path: Path, config: CampaignConfig, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Campaign.create(tmp_path / "c", config)
    assert not (tmp_path / "c").exists()


def test_a_table_needs_an_objective(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,y\n1,2\n2,3\n")
    with pytest.raises(ConfigError, match="Which column"):
        Campaign.create(tmp_path / "c", CampaignConfig(table=str(table)))


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        Campaign.create(tmp_path / "c", SMALL)


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 1, "config": {"colour": 1, "ignore": []}}'])
def test_what_is_no_campaign_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "campaign.json").write_text(content)
    with pytest.raises(FileError, match="no campaign that can be read"):
        Campaign.open(tmp_path)


def test_a_campaign_of_another_version_is_refused(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "c", RANDOM):
        pass
    path = tmp_path / "c" / "campaign.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(FileError, match="another version"):
        Campaign.open(tmp_path / "c")


def test_dear_designs_are_left_out_when_money_runs_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gedanken.intermediary.campaign as module
    from gedanken.worlds.science.measured import measured_world

    def priced(config: CampaignConfig, table: Path) -> object:
        return measured_world(shipped("suzuki"), prices=lambda d: {"micro_usd": round(100 * float(d["palladium"]))})

    monkeypatch.setattr(module, "_world", priced)
    config = CampaignConfig(world="suzuki", planner="random", budget={"micro_usd": 1_000})
    with Campaign.create(tmp_path / "c", config) as campaign:
        found = campaign.run()
        cheapest = min(campaign._price(design)["micro_usd"] for design in shipped("suzuki").pool)
    assert 1_000 - cheapest < found.paid["micro_usd"] <= 1_000
    assert np.isfinite(found.trace).all()


@pytest.mark.parametrize(
    ("good", "among", "expected"), [(1, 1, 1), (1, 100, 50), (2, 100, 30), (100, 100, 1), (1, 66, 33)]
)
def test_the_median_by_chance_is_that_of_shuffles(good: int, among: int, expected: int) -> None:
    assert median_by_chance(good, among) == expected
    rng = np.random.default_rng(0)
    shuffled = [int(rng.permutation(among)[:good].min()) + 1 for _ in range(4_000)]
    assert abs(np.median(shuffled) - expected) <= 0.05 * among
