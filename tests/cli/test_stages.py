import json
import shutil

import pytest

from gedanken.cli.stages import Collect, CollectMore
from tests.cli.worlds import BROKEN


@pytest.fixture
def collected(gedanken, settings, tmp_path):
    """A run that has paid for its first round."""
    said = gedanken("collect", settings(), "--out", tmp_path / "run", "--json")
    assert said.status == 0, said.err
    return tmp_path / "run"


def test_collect_begins_a_run_and_pays_for_a_round(gedanken, settings, tmp_path):
    said = gedanken("collect", settings(), "--out", tmp_path / "run", "--json")
    assert said.json == {
        "run": str(tmp_path / "run"),
        "episodes": 3,
        "steps": 60,
        "paid": {"steps": 60},
        "left": {"steps": 60},
    }
    assert "collect" in said.err


def test_collect_goes_on_with_a_run_up_to_its_budget(gedanken, collected):
    assert gedanken("collect", collected, "--steps", 20, "--json").json["paid"] == {"steps": 80}
    assert gedanken("collect", collected, "--steps", 5_000, "--json").json["paid"] == {"steps": 120}
    said = gedanken("collect", collected, "--json")
    assert (said.status, said.json["episodes"], said.json["left"]) == (0, 0, {"steps": 0})


def test_a_run_that_is_there_keeps_its_settings(gedanken, collected):
    assert isinstance(Collect.parse([str(collected)]), CollectMore)
    said = gedanken("collect", collected, "--seed", 4)
    assert said.status == 2
    assert "`--seed`" in said.err
    assert gedanken("collect", collected, "--steps", 0).status == 2


def test_run_refuses_a_folder_that_holds_a_run(gedanken, collected, settings):
    said = gedanken("run", settings(), "--out", collected)
    assert said.status == 2
    assert f"gedanken resume {collected}" in said.err


def test_curate_tells_and_writes_what_it_found(gedanken, collected):
    said = gedanken("curate", collected, "--json")
    assert said.json.pop("run") == str(collected)
    assert json.loads((collected / "curation.json").read_text())["coverage"]["dimensions"]
    plain = gedanken("curate", collected)
    assert "held out" in plain.out
    assert plain.status == 0


def test_a_report_of_a_run_that_is_not_finished(gedanken, collected):
    said = gedanken("report", collected, "--json")
    assert said.json == {"run": str(collected), "report": str(collected / "report.html")}
    page = (collected / "report.html").read_text()
    assert "the run has not been checked yet" in page
    assert str(collected / "report.html") in gedanken("report", collected).out


def test_stages_say_what_must_come_first(gedanken, collected):
    said = gedanken("train", collected)
    assert said.status == 2
    assert f"gedanken fit {collected}" in said.err


def test_nothing_is_fitted_or_evaluated_before_it_is_paid_for(gedanken, settings, tmp_path):
    # The world answers with NaN in its first episode: nothing was recorded whole, and the run is there.
    said = gedanken("collect", settings(BROKEN), "--out", tmp_path / "run")
    assert said.status == 3
    assert "nan" in said.err.lower()
    said = gedanken("ledger", tmp_path / "run", "--json")
    (balance,) = [row for row in said.json["balances"] if row["account"] == "learn"]
    assert balance["unknown"] == 20
    assert balance["spent"] == 0
    assert len(said.json["unknown"]) == 1


@pytest.mark.parametrize("command", ["resume", "curate", "fit", "train", "evaluate", "report", "ledger", "collect"])
def test_a_run_of_another_version_is_refused(gedanken, collected, command):
    path = collected / "config.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    said = gedanken(command, collected, "--json")
    assert said.status == 7
    assert "another version" in said.json["error"]["what"]


@pytest.mark.parametrize("command", ["resume", "curate", "fit", "train", "evaluate", "report", "ledger"])
def test_what_is_no_run_is_refused(gedanken, tmp_path, command):
    said = gedanken(command, tmp_path / "none", "--json")
    assert said.status == 7
    assert "holds no run" in said.json["error"]["what"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("cut", [1, -1])
def test_a_configuration_that_was_tampered_with_is_refused(gedanken, collected, cut):
    path = collected / "config.json"
    path.write_text(path.read_text()[:-5] if cut < 0 else path.read_text().replace('"seed"', '"sede"'))
    said = gedanken("fit", collected)
    assert said.status in (2, 7)
    assert said.err.startswith("Error: ")


# --- The ledger -----------------------------------------------------------------------------------------------------


def test_the_ledger_tells_balances_and_reading_it_changes_nothing(gedanken, collected):
    before = {path.name: path.read_bytes() for path in collected.glob("ledger.sqlite*") if path.is_file()}
    said = gedanken("ledger", collected, "--json")
    learn, check = said.json["balances"]
    assert learn == {
        "account": "learn",
        "resource": "steps",
        "budget": 120,
        "spent": 60,
        "outstanding": 0,
        "unknown": 0,
        "actions": 3,
    }
    assert (check["budget"], check["spent"]) == (2 * (20 + 4 * 10), 0), (
        "two episodes, and branches from a state of each"
    )
    assert said.json["unknown"] == []
    assert {name: (collected / name).read_bytes() for name in before} == before
    assert "learn" in gedanken("ledger", collected).out


def test_what_is_unknown_is_listed_and_can_be_reconciled(gedanken, settings, tmp_path):
    run = tmp_path / "run"
    gedanken("collect", settings(BROKEN), "--out", run)
    (unknown,) = gedanken("ledger", run, "--json").json["unknown"]
    assert unknown["charged"] == {"steps": 20}
    assert unknown["action"] in gedanken("ledger", run).out.replace("\n", "")
    words = ("ledger", run, "--reconcile", unknown["action"])
    assert gedanken(*words).status == 2
    assert gedanken("ledger", run, "--actual", "steps", 7).status == 2
    said = gedanken(*words, "--actual", "steps", 7, "--reason", "the log says so", "--json")
    assert said.json["unknown"] == []
    assert said.json["balances"][0]["spent"] == 7
    assert gedanken(*words, "--actual", "steps", 7, "--reason", "again").status == 5


def test_a_ledger_that_was_altered_is_refused(gedanken, collected):
    import sqlite3

    connection = sqlite3.connect(collected / "ledger.sqlite")
    connection.execute("DROP TRIGGER entries_refuse_update")
    connection.execute("UPDATE entries SET line = replace(line, '\"steps\":20', '\"steps\":10')")
    connection.commit()
    connection.close()
    for command in ("ledger", "report", "fit"):
        said = gedanken(command, collected, "--json")
        assert said.status == 5, command
        assert "altered" in said.json["error"]["what"] or "contradict" in said.json["error"]["what"]


def test_a_moved_run_is_the_same_run(gedanken, collected, tmp_path):
    shutil.move(collected, tmp_path / "elsewhere")
    said = gedanken("collect", tmp_path / "elsewhere", "--steps", 20, "--json")
    assert said.json["paid"] == {"steps": 80}
