"""Claim: whatever happens, the budget is never exceeded, nothing is paid twice, and nothing is lost.

Runs are killed at labelled points and at random times, alone and in pairs; processes race for the last unit; every file
is cut at every byte; the disk fills up. A witness outside the ledger (see benchmarks/witness.py) counts what really
happened. Then: how many entries a second it takes, by the size of the billing unit.

    python -m benchmarks.ledger
"""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from benchmarks.results import Figure, Results
from benchmarks.witness import ACCOUNT, LABELS, Audit, audit, open_ledger, race, work
from gedanken.errors import LedgerError, StoreError
from gedanken.experience import faults
from gedanken.experience.cost import Cost
from gedanken.worlds.world import BillingUnit

REFUSED = 3
UNITS: tuple[BillingUnit, ...] = ("step", 3, "episode")


@dataclass(frozen=True)
class Config:
    """How much of everything."""

    kills: int = 1000
    """Processes killed, half at labelled points and half at random times."""
    races: int = 10
    """Races of `racers` processes for 60 steps."""
    racers: int = 8
    every: int = 1
    """Cuts the files at every n-th byte."""
    disks: int = 60
    """Full disks, from one that is full at once to one that holds most of a run."""
    entries: int = 10_000
    """Entries written to see whether a log slows down as it grows."""
    seeds: int = 3
    parts: tuple[Literal["kills", "races", "disks", "speed", "cuts"], ...] = (
        "kills",
        "races",
        "disks",
        "speed",
        "cuts",
    )
    """Which parts to run."""


@dataclass
class Tally:
    """What a series of accidents did, summed over all audits; everything but `trials` and `acted` must be 0."""

    trials: int = 0
    overspent: int = 0
    unpaid: int = 0
    twice: int = 0
    lost: int = 0
    acted: int = 0

    def add(self, found: Audit) -> None:
        self.overspent += found.overspent
        self.unpaid += found.unpaid
        self.twice += found.twice
        self.lost += found.lost

    def put(self, results: Results, method: str, seed: int, since: float) -> None:
        seconds = time.perf_counter() - since
        figures = [Figure(self.acted, name, value, seconds) for name, value in vars(self).items() if name != "acted"]
        results.put(claim="ledger", world="witness", method=method, seed=seed, figures=figures)
        print(f"{method}, seed {seed}: {vars(self)}, {seconds:.0f} s", flush=True)


@contextmanager
def folder(*, memory: bool = False) -> Iterator[Path]:
    """An empty folder: on the disk that the benchmark lies on, or in memory.

    Memory serves wherever processes are killed or files cut: what was written survives the process there as well, and
    a thousand accidents do not have to wait for a disk.
    """
    parent = "/dev/shm" if memory and Path("/dev/shm").is_dir() else "."
    path = Path(tempfile.mkdtemp(prefix=".ledger-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def forked(body: Callable[[], object]) -> int:
    """Runs `body` in a process of its own; the process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return child


def was_killed(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def audit_copy(run: Path, budget: int) -> Audit:
    """Audits a copy, so that the next process finds, and has to repair, what the killed one left."""
    there = run.with_name(f"{run.name}-audit")
    shutil.copytree(run, there)
    try:
        return audit(there, budget)
    finally:
        shutil.rmtree(there)


def killed_runs(kills: int, seed: int, kill: Callable[[Path, int, np.random.Generator], int]) -> Tally:
    """Kills runs until `kills` processes have died; a run that has spent its budget makes way for a new one."""
    rng, tally, budget, numbers = np.random.default_rng(seed), Tally(), 200, itertools.count()
    with folder(memory=True) as base:
        while tally.trials < kills:
            run = base / f"run-{next(numbers)}"
            run.mkdir()
            charged = 0
            while tally.trials < kills and charged < budget:
                tally.trials += kill(run, budget, rng)
                found = audit_copy(run, budget)
                tally.add(found)
                charged = found.spent + found.unknown
            work(run, budget, "episode")
            found = audit(run, budget)
            tally.add(found)
            tally.lost += budget - found.spent - found.unknown  # the resumed run could use everything that was left
            tally.acted += found.acted
    return tally


def kill_at_label(run: Path, budget: int, rng: np.random.Generator) -> int:
    label, count = LABELS[rng.integers(len(LABELS))], int(rng.integers(1, 6))
    unit = UNITS[rng.integers(len(UNITS))]

    def body() -> None:
        faults.arm(f"{label}:{count}")
        work(run, budget, unit)

    return int(was_killed(forked(body)))


def kill_at_random(run: Path, budget: int, rng: np.random.Generator, *, workers: int = 1) -> int:
    units = [UNITS[rng.integers(len(UNITS))] for _ in range(workers)]
    children = [forked(lambda w=w, u=u: work(run, budget, u, worker=w)) for w, u in enumerate(units)]  # type: ignore[misc]
    killed = 0
    for child in children:
        time.sleep(float(rng.exponential(0.04)))
        os.kill(child, signal.SIGKILL)
        killed += was_killed(child)
    return killed


def kill_two(run: Path, budget: int, rng: np.random.Generator) -> int:
    return kill_at_random(run, budget, rng, workers=2)


def races(config: Config) -> Tally:
    """Every unit of the budget is granted once: `overspent` counts grants too many, `lost` grants too few."""
    tally, budget = Tally(), 60
    for _ in range(config.races):
        with folder(memory=True) as run:

            def body(worker: int, run: Path = run) -> None:
                (run / f"granted-{worker}").write_text(str(race(run, budget, worker)))

            children = [forked(lambda w=w: body(w)) for w in range(config.racers)]  # type: ignore[misc]
            while len(list(run.glob("ready-*"))) < config.racers:
                time.sleep(0.005)
            (run / "go").touch()
            for child in children:
                os.waitpid(child, 0)
            granted = sum(int(file.read_text()) for file in run.glob("granted-*"))
            with open_ledger(run, budget) as ledger:
                ledger.verify()
                spent = ledger.balance(ACCOUNT).spent.of("steps")
        tally.trials += 1
        tally.acted += granted
        tally.overspent += max(0, granted - budget) + max(0, spent - budget)
        tally.lost += max(0, budget - granted) + abs(granted - spent)
    return tally


def cuts(name: str, *, checkpointed: bool, every: int) -> Tally:
    """`lost` counts cuts after which less was charged than before, or the ledger could not be opened."""
    tally, budget = Tally(), 20
    with folder(memory=True) as base:
        source, there = base / "source", base / "cut"
        live = base / "live"
        live.mkdir()
        with open_ledger(live, budget) as ledger:
            for number in range(2):
                ledger.reserve(f"a{number}", "digest", Cost(steps=2), account=ACCOUNT)
                ledger.commit(f"a{number}", Cost(steps=2), {"return": 1.5})
            ledger.reserve("open", "digest", Cost(steps=3), account=ACCOUNT)
            expected = 2 * 2 + 3
            if checkpointed:
                ledger._journal._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            shutil.copytree(live, source, ignore=shutil.ignore_patterns("*.sessions", "*-shm"))
        for cut in range(0, (source / name).stat().st_size + 1, every):
            shutil.copytree(source, there)
            os.truncate(there / name, cut)
            tally.trials += 1
            try:
                with open_ledger(there, budget) as ledger:
                    balance = ledger.balance(ACCOUNT)
                    tally.lost += (balance.spent + balance.unknown).of("steps") != expected
                    tally.lost += balance.unknown != Cost(steps=3)
            except LedgerError:
                tally.lost += 1
            shutil.rmtree(there)
        tally.acted = expected
    return tally


def full_disks(count: int, seed: int, *, mount: bool) -> Tally:
    """Runs into disks of all sizes; afterwards there is room, and the run goes on. `trials` counts full disks."""
    tally, budget = Tally(), 60
    for number in range(count):
        kilobytes = int(24 * 60 ** (number / count)) + seed
        with folder() as base, _disk(base, kilobytes if mount else None) as grow:
            child = forked(lambda: _work_until_refused(base, budget, None if mount else 200 * kilobytes))  # noqa: B023
            tally.trials += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == REFUSED
            grow()
            tally.add(audit(base, budget))
            work(base, budget, "episode")
            found = audit(base, budget)
            tally.add(found)
            tally.lost += budget - found.spent - found.unknown
            tally.acted += found.acted
    return tally


@contextmanager
def _disk(at: Path, kilobytes: int | None) -> Iterator[Callable[[], None]]:
    """A small disk in memory, mounted there until the end, and what makes it larger; None for the disk as it is."""
    if kilobytes is None:
        yield lambda: None
        return
    _run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(at))
    try:
        yield lambda: _run("mount", "-o", "remount,size=50m", str(at))
    finally:
        _run("umount", "-l", str(at))


def _work_until_refused(disk: Path, budget: int, largest_file: int | None) -> None:
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        work(disk, budget, "step")
    except (LedgerError, StoreError):
        os._exit(REFUSED)


def _can_mount() -> bool:
    """Whether this process may mount a disk of its own; otherwise a limit of the file size stands in."""
    with folder() as there:
        if (
            os.geteuid() != 0
            or subprocess.run(
                ["mount", "-t", "tmpfs", "tmpfs", str(there)], capture_output=True, check=False
            ).returncode
        ):
            return False
        _run("umount", str(there))
        return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def speed(results: Results, config: Config, seed: int) -> None:
    """Entries and real steps a second, by unit; and, as the limit of this disk, one line appended and fsynced."""

    def put(method: str, paid: int, seconds: float, **values: float) -> None:
        figures = [Figure(paid, metric, value, seconds) for metric, value in values.items()]
        results.put(claim="ledger_speed", world="none", method=method, seed=seed, figures=figures)
        print(method, {metric: round(value, 2) for metric, value in values.items()}, flush=True)

    with folder() as run, (run / "lines").open("ab", buffering=0) as file:
        begun = time.perf_counter()
        for _ in range(500):
            file.write(b"x" * 300)
            os.fsync(file.fileno())
        seconds = time.perf_counter() - begun
    put("one line, one fsync (the disk's limit)", 0, seconds, entries_per_s=500 / seconds)

    for unit in (1, 10, 100, 1000):
        stamps = _stamps(unit, 250)
        count, seconds = len(stamps) - 1, stamps[-1] - stamps[0]
        rates = {"entries_per_s": 2 * count / seconds, "steps_per_s": unit * count / seconds}
        put(f"unit of {unit} steps", unit * count, seconds, **rates)

    # In memory, so that a disk that others use as well does not hide a log that slows down as it grows.
    stamps = _stamps(1, config.entries // 2, memory=True)
    count, seconds, tenth = len(stamps) - 1, stamps[-1] - stamps[0], max(1, (len(stamps) - 1) // 10)
    growth = (stamps[-1] - stamps[-1 - tenth]) / (stamps[tenth] - stamps[0])
    put("unit of 1 steps, in memory", count, seconds, entries_per_s=2 * count / seconds, last_tenth_over_first=growth)


def _stamps(unit: int, count: int, *, memory: bool = False) -> list[float]:
    """When each of `count` units was reserved and committed, and before them when it all began."""
    with folder(memory=memory) as run, open_ledger(run, 10**9) as ledger:
        stamps = [time.perf_counter()]
        for number in range(count):
            ledger.reserve(f"a{number}", "digest", Cost(steps=unit), account=ACCOUNT)
            ledger.commit(f"a{number}", Cost(steps=unit), {"steps": unit, "return": 1.5})
            stamps.append(time.perf_counter())
    return stamps


def main(config: Config) -> None:
    results = Results("ledger")
    share, mount = config.kills // (2 * config.seeds) + 1, _can_mount()
    for seed in range(config.seeds):
        if "kills" in config.parts:
            for method, count, kill in (
                ("killed at labelled points", share, kill_at_label),
                ("killed at random times", share // 2 + 1, kill_at_random),
                ("two at work, killed at random times", share // 2 + 1, kill_two),
            ):
                begun = time.perf_counter()
                killed_runs(count, seed, kill).put(results, method, seed, begun)
        if "races" in config.parts:
            begun = time.perf_counter()
            races(config).put(results, f"race of {config.racers} processes for 60 steps", seed, begun)
        if "disks" in config.parts:
            begun = time.perf_counter()
            tally = full_disks(config.disks // config.seeds, seed, mount=mount)
            tally.put(results, f"disk full ({'tmpfs' if mount else 'RLIMIT_FSIZE'})", seed, begun)
        if "speed" in config.parts:
            speed(results, config, seed)
    for name, state in (
        ("ledger.sqlite.mirror", "before a checkpoint"),
        ("ledger.sqlite", "after a checkpoint"),
        ("ledger.sqlite", "before a checkpoint"),
        ("ledger.sqlite-wal", "before a checkpoint"),
    ):
        if "cuts" in config.parts:
            begun = time.perf_counter()
            tally = cuts(name, checkpointed=state.startswith("after"), every=config.every)
            tally.put(results, f"{name} cut at every byte, {state}", 0, begun)
    results.put_machine()  # last: it starts threads, and a process with threads should not be forked


if __name__ == "__main__":
    main(tyro.cli(Config))
