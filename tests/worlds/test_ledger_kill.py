"""Processes that die in the middle, and processes that want the same last unit."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.witness import ACCOUNT, LABELS, audit, open_ledger, work
from gedanken.errors import BudgetRefused
from gedanken.experience.cost import Cost
from gedanken.worlds.ledger import Ledger

BUDGET = 20


def killed_at(label: str, folder: Path, *, unit: str, count: int = 1) -> None:
    command = [sys.executable, "-m", "benchmarks.witness", "work", str(folder), str(BUDGET), unit]
    done = subprocess.run(command, env=os.environ | {"GEDANKEN_KILL_AT": f"{label}:{count}"}, capture_output=True)
    assert done.returncode == -9, f"it never came to {label}: {done.stderr.decode()}"


def check_and_resume(folder: Path) -> None:
    """Nothing is wrong after the kill, and nothing is wrong after the rest of the run."""
    after_kill = audit(folder, BUDGET)
    assert after_kill.faults == 0, after_kill
    work(folder, BUDGET, "episode")
    at_the_end = audit(folder, BUDGET)
    assert at_the_end.faults == 0, at_the_end
    assert at_the_end.spent + at_the_end.unknown == BUDGET, "the resumed run used up what was left"
    assert at_the_end.unknown >= after_kill.unknown, "nothing is refunded by itself"


@pytest.mark.parametrize("label", ["reserve.mirror_synced", "world.moved", "act.recorded", "commit.mirror_synced"])
def test_a_killed_run_goes_on_and_pays_for_everything_once(tmp_path: Path, label: str) -> None:
    killed_at(label, tmp_path, unit="3", count=1)
    check_and_resume(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "label"), list(zip(itertools.cycle(["step", "episode"]), LABELS, strict=False)))
def test_a_kill_at_every_labelled_point(tmp_path: Path, label: str, unit: str) -> None:
    killed_at(label, tmp_path, unit=unit, count=1 if label.startswith(("open", "work")) else 2)
    check_and_resume(tmp_path)


def test_every_kill_point_of_the_ledger_and_of_act_is_in_the_list() -> None:
    sources = [Path("src/gedanken/worlds") / name for name in ("journal.py", "act.py")]
    found = {label for path in sources for label in re.findall(r'kill_point\(f?"([^"]+)"', path.read_text())}
    stages = {label.removeprefix("{kind}") for label in found if label.startswith("{kind}")}
    plain = {label for label in found if not label.startswith("{kind}")}
    assert found, "the labels are looked for in the wrong place"
    assert plain <= set(LABELS)
    assert {f"{kind}{stage}" for kind in ("open", "reserve", "commit", "imagined") for stage in stages} <= set(LABELS)


def test_the_audit_finds_what_is_wrong(tmp_path: Path) -> None:
    """The judge is judged: with a witness and a record that were falsified by hand."""
    work(tmp_path, BUDGET, "episode")
    witness, record = tmp_path / "witness.txt", tmp_path / "record-0.jsonl"
    assert audit(tmp_path, BUDGET).faults == 0
    true = witness.read_text()
    witness.write_text(true + true.splitlines(keepends=True)[0])
    found = audit(tmp_path, BUDGET)
    assert (found.twice, found.unpaid) == (1, 1)
    witness.write_text("".join(true.splitlines(keepends=True)[1:]))
    assert audit(tmp_path, BUDGET).lost == 1
    witness.write_text(true)
    record.write_text("".join(line for line in record.read_text().splitlines(True) if "steps" not in line))
    assert audit(tmp_path, BUDGET).lost == BUDGET


def test_a_dead_process_leaves_unknown_and_a_live_one_does_not(tmp_path: Path) -> None:
    with open_ledger(tmp_path, BUDGET) as ledger:
        ledger.reserve("mine", "digest", Cost(steps=2), account=ACCOUNT)
        killed_at("act.reserved", tmp_path, unit="3")
        assert ledger.balance(ACCOUNT).outstanding == Cost(steps=5), "nobody has looked yet whether it is alive"
        with open_ledger(tmp_path, BUDGET):
            balance = ledger.balance(ACCOUNT)
            assert (balance.outstanding, balance.unknown) == (Cost(steps=2), Cost(steps=3))


def test_a_live_handle_takes_over_what_a_dead_one_wrote_ahead(tmp_path: Path) -> None:
    with open_ledger(tmp_path, BUDGET) as ledger:
        killed_at("reserve.mirror_synced", tmp_path, unit="3")
        ledger.reserve("mine", "digest", Cost(steps=2), account=ACCOUNT)
        assert ledger.balance(ACCOUNT).outstanding == Cost(steps=5)
        ledger.verify()


def test_processes_racing_for_the_last_units_get_each_of_them_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.witness", "race", str(tmp_path), str(BUDGET)]
    racers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE) for n in range(3)]
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ready-*"))) < len(racers) and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "go").touch()
    grants = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(grants) == BUDGET, grants
    with open_ledger(tmp_path, BUDGET) as ledger:
        assert ledger.balance(ACCOUNT).spent == Cost(steps=BUDGET)
        ledger.verify()


@pytest.mark.parametrize("shared", [True, False])
def test_threads_racing_for_the_last_units_get_each_of_them_once(tmp_path: Path, shared: bool) -> None:
    one = open_ledger(tmp_path, BUDGET)
    grants: list[str] = []
    start = threading.Barrier(6)

    def racer(name: int) -> None:
        ledger: Ledger = one if shared else open_ledger(tmp_path, BUDGET)
        start.wait()
        for number in range(BUDGET):
            try:
                ledger.reserve(f"{name}-{number}", "digest", Cost(steps=1), account=ACCOUNT)
            except BudgetRefused:
                break
            grants.append(f"{name}-{number}")
            ledger.commit(f"{name}-{number}", Cost(steps=1))
        if not shared:
            ledger.close()

    threads = [threading.Thread(target=racer, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(grants) == len(set(grants)) == BUDGET
    assert one.balance(ACCOUNT).spent == Cost(steps=BUDGET)
    one.close()
