"""The report of a campaign."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np

from gedanken.intermediary.campaign import Campaign, CampaignConfig
from gedanken.report.experiments import render_campaign


def figures(page: str) -> list[dict]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def numbers(encoded: dict | list) -> list:
    """What plotly made of an array."""
    if isinstance(encoded, list):
        return encoded
    return np.frombuffer(base64.b64decode(encoded["bdata"]), encoded["dtype"]).tolist()


def test_its_figures_hold_what_was_measured_and_foreseen(tmp_path: Path) -> None:
    config = CampaignConfig(world="reizman_suzuki_1", budget={"experiments": 9})
    with Campaign.create(tmp_path / "c", config) as campaign:
        found = campaign.run()
        page = render_campaign(campaign)
        trials = campaign.trials()
    progress, foreseen, *panels, front = figures(page)
    assert numbers(progress["data"][1]["y"]) == list(found.trace)
    assert (
        sum(len(numbers(trace["x"])) for trace in foreseen["data"] if "markers" in trace["mode"])
        == found.forecasts
        == 4
    )
    assert len(panels) == len(trials[0].design) == 4
    assert sum(len(numbers(trace["x"])) for trace in front["data"]) == 9
    assert page.count("too few results to plan by") == 5


def test_of_one_objective_and_no_forecasts_it_says_so(tmp_path: Path) -> None:
    config = CampaignConfig(world="snar", planner="random", budget={"experiments": 3})
    with Campaign.create(tmp_path / "c", config) as campaign:
        campaign.run()
        page = render_campaign(campaign)
    assert "there is one objective" in page and "no experiment was foreseen" in page


def test_before_the_first_experiment_it_can_be_written(tmp_path: Path) -> None:
    with Campaign.create(tmp_path / "c", CampaignConfig(world="snar")) as campaign:
        assert "no experiment was measured" in render_campaign(campaign)


def test_words_of_a_table_cannot_become_markup(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("solvent,yield\n<b>a</b>,1\n<script>x</script>,2\nc,3\n")
    config = CampaignConfig(table=str(table), objective="yield", budget={"experiments": 3})
    with Campaign.create(tmp_path / "c", config) as campaign:
        campaign.run()
        page = render_campaign(campaign)
    assert "<b>a</b>" not in page and "<script>x" not in page
