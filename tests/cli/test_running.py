"""Whole runs, in processes of their own: their last line, real signals, full disks, and what a resumed run comes to."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import ROOT, finish, start
from tests.cli.worlds import BROKEN, POINT

pytestmark = pytest.mark.slow

KEYS = ["world", "seed", "paid", "paid_check", "imagined_steps", "real_return", "predicted_return", "seconds", "run"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run: (its folder, what it said)."""
    from tests.cli.conftest import SMALL

    root = tmp_path_factory.mktemp("whole")
    path = root / "settings.yaml"
    path.write_text(json.dumps({"world": POINT, "budget": {"steps": 120}, **SMALL}))
    said = finish(start("run", path, "--json", "--out", "run", cwd=root))
    assert said.status == 0, said.err
    return root / "run", said


def wait_for(process, word):
    """Reads the progress until a line holds `word`."""
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"{word!r} never came")


def same(result, whole):
    """What must be the same of an interrupted run and one that was not."""
    names = ("paid", "paid_check", "imagined_steps", "real_return", "predicted_return")
    assert {name: result[name] for name in names} == {name: whole[1].json[name] for name in names}


def test_a_run_ends_with_one_line_for_scripts(whole):
    folder, said = whole
    result = said.json
    assert said.out.count("\n") == 1
    assert list(result) == [*KEYS, "report"]
    assert (result["world"], result["seed"]) == (POINT, 0)
    assert result["paid"] == {"steps": 120}
    assert result["paid_check"] == {"steps": 40}
    assert result["imagined_steps"] > 0
    assert list(result["real_return"]) == ["mean", "low", "high", "episodes"]
    assert result["real_return"]["episodes"] == 2
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    for stage in ("collect", "fit", "learn", "check"):
        assert stage in said.err


def test_a_finished_run_tells_its_result_again_and_pays_nothing(whole, gedanken):
    folder, _ = whole
    before = gedanken("ledger", folder, "--json").json
    again = gedanken("resume", folder, "--json").json
    same(again, whole)
    assert gedanken("ledger", folder, "--json").json == before
    told = gedanken("resume", folder).out
    assert "120 steps" in told
    assert str(folder / "report.html") in told


def test_evaluating_again_counts_the_episodes_that_are_paid_for(whole, gedanken):
    folder, said = whole
    again = gedanken("evaluate", folder, "--json").json
    assert again["paid_check"] == said.json["paid_check"]
    assert again["real_return"] == said.json["real_return"]


@pytest.mark.parametrize("stage", ["collect", "learn", "check"])
def test_one_ctrl_c_stops_where_the_run_can_go_on_to_the_same_result(whole, settings, tmp_path, stage):
    process = start("run", settings(), "--out", "run", "--progress", "json", cwd=tmp_path)
    wait_for(process, f'"stage": "{stage}"')
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert said.status == 130
    assert "gedanken resume run" in said.err
    assert "Traceback" not in said.err
    said = finish(start("resume", "run", "--json", cwd=tmp_path))
    assert said.status == 0, said.err
    same(said.json, whole)


def test_two_ctrl_c_stop_at_once_and_nothing_is_overspent(settings, tmp_path):
    variables = {"GEDANKEN_TEST_STEP_S": "0.2"}
    process = start("run", settings(), "--out", "run", "--progress", "json", cwd=tmp_path, **variables)
    wait_for(process, '"stage": "collect"')
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said = finish(process)
    assert said.status == 130
    assert time.monotonic() - began < 10
    assert "gedanken resume run" in said.err
    said = finish(start("resume", "run", "--json", cwd=tmp_path))
    assert said.status == 0, said.err
    assert said.json["paid"]["steps"] <= 120
    assert said.json["real_return"]["episodes"] == 2


def test_a_checkpoint_that_was_tampered_with_is_refused(whole, tmp_path, gedanken):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    (folder / "result.json").unlink()
    (weights,) = (folder / "checkpoint").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for command in ("resume", "evaluate", "fit"):
        said = gedanken(command, folder, "--json")
        assert said.status == 7
        assert "checkpoint" in json.dumps(said.json["error"])


def test_a_world_that_answers_nan_ends_the_run_with_a_clear_error(settings, tmp_path):
    said = finish(start("run", settings(BROKEN), "--out", "run", "--json", cwd=tmp_path))
    assert said.status == 3
    assert said.json["error"]["kind"] == "WorldError"
    assert "nan" in json.dumps(said.json["error"]).lower()
    assert "Traceback" not in said.err


def test_a_full_disk_ends_the_run_with_a_clear_error_and_it_goes_on_when_there_is_room(whole, settings, tmp_path):
    # No file may grow beyond 48 KB: the ledger, the experience or a checkpoint hits it on the way.
    code = (
        "import resource, signal, sys\n"
        "from gedanken.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import gedanken.intermediary.loop, gedanken.cli.running\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (49152, {resource.RLIM_INFINITY}))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(settings()), "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_ENABLE_COMPILATION_CACHE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (5, 6, 7), done.stderr
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    said = finish(start("resume", "run", "--json", cwd=tmp_path))
    assert said.status == 0, said.err
    assert said.json["paid"]["steps"] <= 120
    assert said.json["real_return"]["episodes"] == 2


def test_the_stages_one_by_one_come_to_a_result(gedanken, settings, tmp_path):
    run = tmp_path / "run"
    assert gedanken("collect", settings(), "--out", run, "--json").json["paid"] == {"steps": 60}
    fitted = gedanken("fit", run, "--json").json
    assert fitted["rows"] == 40 or fitted["rows"] == 60
    assert gedanken("train", run, "--updates", "20", "--json").json["updates"] == 20
    assert "Paid 80 steps" in gedanken("collect", run, "--steps", "20").out
    result = gedanken("evaluate", run, "--json").json
    assert result["paid"] == {"steps": 80}
    assert result["real_return"]["episodes"] == 2
    # What changes the agent takes the result away, and resume goes on from there.
    assert gedanken("collect", run, "--json").status == 0
    assert not (run / "result.json").exists()


def test_two_runs_side_by_side_end_in_one_report(gedanken, tmp_path, monkeypatch):
    from gedanken.cli import quickstart

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started = []
    popen = subprocess.Popen

    def tiny(words, **options):
        small = ["--collect.warmup", "60", "--model.members", "2", "--model.width", "16", "--fit.least", "20"]
        small += ["--fit.most", "40", "--fit.chunk", "20", "--value_gradient.width", "16", "--updates_per_step", "0.5"]
        small += ["--check.episodes", "2", "--check.imagined", "4"]
        started.append(words)
        return popen([*words, *small], **options)

    monkeypatch.setattr(quickstart.subprocess, "Popen", tiny)
    said = gedanken("quickstart", "--worlds", POINT, "Pendulum-v1", "--budget", "120", "--json")
    assert said.status == 0, said.err
    assert [run["world"] for run in said.json["runs"]] == [POINT, "Pendulum-v1"]
    assert all(run["paid"]["steps"] <= 120 for run in said.json["runs"])
    assert said.json["report"] == "runs/quickstart-1/report.html"
    page = (tmp_path / said.json["report"]).read_text()
    assert POINT in page
    assert "Pendulum-v1" in page
    assert all("--json" in words for words in started)


def test_a_run_that_fails_fails_the_quickstart_with_its_error(gedanken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    said = gedanken("quickstart", "--worlds", "Pendlum-v1", "--json")
    assert said.status == 2
    assert "Pendlum-v1" in said.json["error"]["what"]
