import dataclasses
import json

import numpy as np
import pytest

from benchmarks.reference import write
from benchmarks.results import Row
from gedanken.errors import FileError, LedgerError
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.experience.cost import Budget, Cost
from gedanken.intermediary.check import check
from gedanken.intermediary.config import CheckConfig, CollectConfig, RunConfig
from gedanken.intermediary.run import LEARN, Run
from gedanken.intermediary.stages import collect, curate, current_agent
from gedanken.report import reference as module
from gedanken.report.data import Learning, NotMeasured, Reference, ReportData, Trajectories
from gedanken.report.from_run import read_ledger, read_run, report
from gedanken.report.reference import reference
from gedanken.worlds.ledger import Ledger
from tests.cli.worlds import POINT
from tests.report.example import full_report


@pytest.fixture
def folder(tmp_path):
    """A run that has paid for three random episodes of 20 steps."""
    config = RunConfig(world=POINT, budget={"steps": 200}, collect=CollectConfig(warmup=60, warmup_horizon=20))
    with Run.create(tmp_path / "run", config) as run:
        collect(run, steps=60, horizon=20, agent=None)
        curate(run)
    return tmp_path / "run"


def evidence(folder, **changes):
    """Writes evidence as a check would."""
    data = full_report()
    interval = mean_with_interval(np.array([1.0, 2.0, 4.0]), seed=0).to_json()
    found = {
        "real_return": interval,
        "predicted_return": Interval.missing("this agent was not imagined").to_json(),
        "value": data.value,
        "exploitation": data.exploitation,
        "fidelity": data.fidelity,
        "calibration": data.calibration,
        "trajectories": {
            "real": [[0.0, 1.0], [1.0, 2.0]],
            "imagined": [[[0.0, 1.0], [None, None]]],
            "given": "the agent",
        },
    }
    from gedanken.intermediary.run import plain

    (folder / "evidence.json").write_text(json.dumps(plain({**found, **changes})))


def test_a_run_that_was_not_checked_says_so_everywhere(folder):
    data = read_run(folder)
    assert isinstance(data, ReportData)
    assert data.headline.paid == {"steps": 60}
    assert data.headline.paid_check == {}
    assert data.headline.real_return.mean is None
    for name in ("fidelity", "calibration", "value", "exploitation", "trajectories", "claims", "depth"):
        assert getattr(data, name) == NotMeasured("the run has not been checked yet")
    assert isinstance(data.decisions, NotMeasured)


def test_it_says_where_episodes_of_learning_are_cut_and_those_of_the_check_are_not(tmp_path):
    for horizon, cut in ((5, 5), (None, None), (500, None)):
        config = RunConfig(
            world=POINT,
            budget={"steps": 20},
            collect=CollectConfig(warmup=10, warmup_horizon=5, horizon=horizon),
            check=CheckConfig(episodes=1, imagined=1),
        )
        with Run.create(tmp_path / str(horizon), config) as run:
            collect(run, steps=10, horizon=5, agent=None)
            check(run, current_agent(run))
        learning = read_run(tmp_path / str(horizon)).learning
        assert isinstance(learning, Learning) and learning.cut == cut


def test_the_learning_curve_is_the_paid_episodes_against_paid_steps(folder):
    learning = read_run(folder).learning
    assert isinstance(learning, Learning)
    assert learning.steps.tolist() == [20, 40, 60]
    with Run.open(folder) as run:
        assert learning.returns.tolist() == [s.total_reward for s in run.experience.summaries()]


def test_the_ledger_is_read_without_taking_part(folder):
    told = read_ledger(folder / "ledger.sqlite")
    assert told.paid(LEARN) == {"steps": 60}
    (line,) = told.lines.values()
    assert line.spent == [0, 20, 40, 60]
    assert line.seconds == sorted(line.seconds)
    entries = told.entries
    assert read_ledger(folder / "ledger.sqlite").entries == entries


def test_the_ledger_can_be_read_while_it_is_written(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, budgets={LEARN: Budget(steps=9)}, run_id="r") as ledger:
        ledger.reserve("a", "d", Cost(steps=2), account=LEARN)
        told = read_ledger(path)
        assert told.balances()[0]["outstanding"] == 2
        assert told.unknowns()[0].action_id == "a"
        ledger.commit("a", Cost(steps=1))
        assert read_ledger(path).balances()[0]["spent"] == 1


def test_no_ledger_is_told(tmp_path):
    with pytest.raises(LedgerError, match="cannot be read"):
        read_ledger(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_evidence_goes_into_its_sections(folder):
    evidence(folder, fidelity=None)
    data = read_run(folder)
    assert data.headline.real_return.mean == pytest.approx(7 / 3)
    assert data.headline.predicted_return.reason == "this agent was not imagined"
    assert isinstance(data.fidelity, NotMeasured)
    assert data.calibration["coverage"]
    part = data.trajectories
    assert isinstance(part, Trajectories)
    assert part.real.shape == (2, 2)
    assert np.isnan(part.imagined[0, 1]).all()
    assert len(part.names) == 2


def test_a_short_check_has_claims_and_no_depth(folder):
    evidence(folder)
    data = read_run(folder)
    assert data.claims[0].level == "measured with interval" and len(data.claims) == 9
    assert isinstance(data.depth, NotMeasured) and "gedanken evaluate" in data.depth.why
    assert isinstance(data.panel, NotMeasured) and "gedanken panel" in data.panel.why


def test_a_thorough_check_and_a_panel_go_into_their_sections(folder):
    example = full_report()
    evidence(folder, **example.depth)
    (folder / "panel").mkdir()
    written = folder / "panel" / "evidence.json"
    written.write_text(json.dumps({"paid": {"steps": 60}, **example.panel}))
    data = read_run(folder)
    assert set(data.depth) == {"forecasts", "rewards", "endings", "permuted", "actions", "estimates"}
    assert set(data.panel["rankings"]) == {"imagined"}
    assert "A point is a policy" in report(folder).read_text()
    written.write_text(json.dumps({"paid": {"steps": 40}, **example.panel}))
    assert isinstance(later := read_run(folder).panel, NotMeasured) and "earlier model" in later.why


def test_the_page_is_written_and_holds_the_run(folder):
    evidence(folder)
    (folder / "result.json").write_text(json.dumps({"imagined_steps": 4_321, "seconds": 61.0}))
    path = report(folder)
    page = path.read_text()
    assert path == folder / "report.html"
    assert POINT in page
    assert "4,321" in page
    assert "1 min 01 s" in page


@pytest.mark.parametrize("name", ["result.json", "evidence.json", "curation.json"])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_file_is_named(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(FileError, match=name):
        read_run(folder)


# --- What it takes without a model ----------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Three seeds of SAC that gain 10 a thousand steps, as the benchmark writes them."""
    rows = [
        Row("sample_efficiency", "World-v0", "sb3-sac", seed, paid, "return", paid / 100 + seed, 1.0, "python -m x")
        for seed in (-1, 0, 1)
        for paid in (1_000, 2_000, 3_000)
    ]
    rows.append(Row("sample_efficiency", "World-v0", "mbrl-mbpo", 0, 1_000, "return", 1e9, 1.0, "python -m x"))
    rows.append(Row("sample_efficiency", "World-v0", "sb3-sac", 0, 1_000, "updates", 1e9, 1.0, "python -m x"))
    names = [each.name for each in dataclasses.fields(Row)]
    lines = [",".join(names), *(",".join(map(str, dataclasses.astuple(row))) for row in rows)]
    (tmp_path / "learning.csv").write_text("\n".join(lines) + "\n")
    assert write(tmp_path / "learning.csv", tmp_path / "reference.csv") == 9
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    module._stored.cache_clear()
    yield
    module._stored.cache_clear()


def test_the_reference_is_where_its_mean_comes_to_the_low_end_of_ours(stored):
    found = reference("robotics/World-v0", Interval(25.0, 19.0, 31.0, 10))
    assert isinstance(found, Reference)
    assert (found.paid, found.within, found.seeds) == (2_000, 3_000, 3)
    assert found.curve.mean.tolist() == pytest.approx([10, 20, 30])
    assert reference("World-v0", Interval(25.0, None, None, 1)).paid == 3_000
    assert reference("World-v0", Interval(99.0, 90.0, 100.0, 10)).paid is None


def test_what_was_not_measured_is_no_reference(stored):
    assert isinstance(reference("Other-v0", Interval(1.0, 0.0, 2.0, 3)), NotMeasured)
    assert isinstance(reference("World-v0", Interval.missing("no check")), NotMeasured)


def test_without_results_the_shipped_file_is_empty(tmp_path):
    assert write(tmp_path / "none.csv", tmp_path / "reference.csv") == 0
    assert (tmp_path / "reference.csv").read_text() == "world,seed,paid,return\n"
