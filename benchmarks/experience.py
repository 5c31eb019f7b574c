"""Claim: what `append` returned for is there after a kill, and a million transitions are read and sampled like a few.

Writers are killed at labelled points and at random times, and what they had claimed is counted. Then: how fast steps
are stored (every append is fsynced), sealed, sampled and read, as the store grows; and what memory sampling takes.
Minari's HDF5 storage is measured beside it where it has the same thing to do; it promises nothing about kills.

    python -m benchmarks.experience
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro

from benchmarks.peers.process import ROOT, lines
from benchmarks.results import Figure, Results
from gedanken.experience import Cost, EpisodeHeader, Experience, Outcome, Transition, curate, faults

WORLD = "17 + 6 numbers"
OURS, MINARI = "gedanken", "minari 0.5.4 (hdf5)"
DRAWN = 256
LENGTH = 1000
SEALED = ("rows.written", "rows.renamed", "steps.written", "steps.renamed", "events.written", "events.renamed")
LABELS = (
    *("append.partly", "append.written", "append.synced", "seal.journal.written", "seal.journal.renamed"),
    *(f"seal.{label}" for label in SEALED),
    "seal.dropped",
)


@dataclass(frozen=True)
class Config:
    """How much of everything."""

    sizes: tuple[int, ...] = (100_000, 300_000, 1_000_000)
    """Steps in the store when it is read and sampled."""
    batches: tuple[int, ...] = (1, 10, 100, 1000)
    """Steps of one append."""
    kills: int = 200
    """Writers killed of each kind, and seed."""
    seeds: int = 3
    """Repeats."""
    peers: bool = True
    """Measures Minari too, in .venv-minari, which is made if it is missing."""


@contextmanager
def folder(*, memory: bool = False) -> Iterator[Path]:
    """An empty folder: on the disk that the benchmark lies on, or in memory, where kills need not wait for a disk."""
    parent = "/dev/shm" if memory and Path("/dev/shm").is_dir() else "."
    path = Path(tempfile.mkdtemp(prefix=".experience-", dir=parent)).resolve()
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass
class Put:
    """Writes figures down and prints them."""

    results: Results
    seed: int = 0

    def __call__(self, claim: str, method: str, paid: int, seconds: float, **values: float) -> None:
        figures = [Figure(paid, metric, float(value), seconds) for metric, value in values.items()]
        self.results.put(claim=claim, world=WORLD, method=method, seed=self.seed, figures=figures)
        shown = {metric: float(f"{value:.4g}") for metric, value in values.items()}
        print(f"{claim}, {method}, {paid:,} steps, seed {self.seed}: {shown}", flush=True)


# --- Writing ----------------------------------------------------------------------------------------------------------


def create(path: Path, seal_rows: int = 50_000) -> Experience:
    """An empty store for observations and actions as wide as those of HalfCheetah-v5."""
    return Experience.create(
        path,
        observation_space=gym.spaces.Box(-np.inf, np.inf, (17,), np.float64),
        action_space=gym.spaces.Box(-1, 1, (6,), np.float32),
        world="synthetic",
        seal_rows=seal_rows,
    )


def steps(first: int, count: int, *, ends: bool = False) -> list[Transition]:
    """The transitions with the rewards `first`, `first + 1`, ...: a random walk."""
    rng = np.random.default_rng(first)
    seen = 0.01 * np.cumsum(rng.normal(size=(count + 1, 17)), 0)
    acted = rng.uniform(-1, 1, (count, 6)).astype(np.float32)
    return [
        Transition(
            observation=seen[at],
            action=acted[at],
            reward=float(first + at),
            terminated=False,
            truncated=ends and at == count - 1,
            next_observation=seen[at + 1],
            cost=Cost(steps=1),
            duration_ms=2.0,
        )
        for at in range(count)
    ]


def grow(experience: Experience, size: int) -> None:
    """Appends whole episodes until the store holds `size` steps."""
    while len(experience) < size:
        name = f"e{len(experience)}"
        experience.begin(EpisodeHeader(name, "synthetic", "walk"))
        experience.append(name, steps(len(experience), LENGTH, ends=True))
        experience.end(name, Outcome())


def appending(put: Put, config: Config) -> None:
    """Appends a second by size, beside the fsyncs a second that this disk can do at all; then one sealing."""
    with folder() as base, (base / "limit").open("ab", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(300):
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
        seconds = time.perf_counter() - start
    put("append", "4 KiB and one fsync (the disk's limit)", 0, seconds, appends_per_s=300 / seconds)
    for batch in config.batches:
        with folder() as base, create(base / "x") as experience:
            experience.begin(EpisodeHeader("e", "synthetic", "walk"))
            ready = [steps(number * batch, batch) for number in range(300 if batch < 1000 else 40)]
            start = time.perf_counter()
            for each in ready:
                experience.append("e", each)
            seconds = time.perf_counter() - start
            rates = {"appends_per_s": len(ready) / seconds, "steps_per_s": len(ready) * batch / seconds}
            put("append", f"{OURS}, {batch} steps an append", len(experience), seconds, **rates)
    with folder() as base, create(base / "x", seal_rows=10**9) as experience:
        grow(experience, 50_000)
        start = time.perf_counter()
        experience.seal()
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in (base / "x" / "segments").glob("*.parquet"))
        put("seal", OURS, 50_000, seconds, seconds_per_50000=seconds, parquet_bytes_per_step=size / 50_000)


# --- Reading ----------------------------------------------------------------------------------------------------------


def reading(put: Put, path: Path, size: int) -> None:
    """Milliseconds for a sample, and steps a second for everything that goes through the whole store."""
    experience, rng = Experience.open(path), np.random.default_rng(put.seed)
    experience.sample(DRAWN, rng)
    stamps = [time.perf_counter()]
    for _ in range(300):
        experience.sample(DRAWN, rng)
        stamps.append(time.perf_counter())
    took = np.diff(stamps) * 1000
    quantiles = {"ms_per_256": float(np.median(took)), "ms_per_256_p90": float(np.quantile(took, 0.9))}
    put("sample", OURS, size, stamps[-1] - stamps[0], **quantiles)

    def timed(what: str, count: int, since: float) -> None:
        seconds = time.perf_counter() - since
        assert count == size
        put(what, OURS, size, seconds, steps_per_s=size / seconds)

    start = time.perf_counter()
    timed("read episodes", sum(len(episode) for episode in experience.episodes()), start)
    start = time.perf_counter()
    timed("read arrays", len(experience.arrays(float32=True)), start)
    start = time.perf_counter()
    timed("query", experience.query("SELECT count(reward) AS n, sum(reward) FROM steps")["n"].to_pylist()[0], start)
    start = time.perf_counter()
    timed("curate", curate(experience, seed=put.seed).steps, start)
    start = time.perf_counter()
    Experience.open(path)
    seconds = time.perf_counter() - start
    put("open", OURS, size, seconds, seconds_to_open=seconds)


MEMORY = """
import sys
import numpy as np
from gedanken.experience import Experience

def peak():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

experience = Experience.open(sys.argv[1])
opened = peak()
for _ in range(1000):
    experience.sample(256, np.random.default_rng(_))
sampled = peak()
count = sum(len(rows) for rows in experience.stream())
print(opened, sampled, peak(), count)
"""


def memory(put: Put, path: Path, size: int) -> None:
    """The peak of a fresh process's memory, after opening, after 1,000 samples, after streaming through everything."""
    if not Path("/proc/self/status").exists():
        return
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    opened, sampled, streamed, count = map(float, ran.stdout.split())
    assert count == size
    stored = sum(file.stat().st_size for file in path.rglob("*.rows")) / 2**20
    peaks = {"mib_opened": opened, "mib_sampled": sampled, "mib_streamed": streamed, "mib_of_rows_on_disk": stored}
    put("memory", OURS, size, time.perf_counter() - start, **peaks)


# --- Kills ------------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What the kills did. `lost` (claimed and not there) and `wrong` (there and never written, or doubled) must be 0.

    torn: kills that left half a record. unclaimed: steps that were stored while their append had not returned yet.
    """

    trials: int = 0
    claimed: int = 0
    lost: int = 0
    wrong: int = 0
    torn: int = 0
    unclaimed: int = 0


@dataclass
class Claim:
    """How many steps the writer was told are stored; shared with the child, and survives it."""

    memory: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 8))

    @property
    def count(self) -> int:
        return int(struct.unpack("<q", self.memory[:])[0])

    @count.setter
    def count(self, value: int) -> None:
        self.memory[:] = struct.pack("<q", value)


def write_until_killed(path: Path, claim: Claim, seed: int) -> None:
    """Goes on where the store ends, in appends of 1 to 9 steps, and claims each when it has returned.

    Every record is written in pieces, as a disk may take it, so that many kills tear one.
    """
    rng, whole = np.random.default_rng(seed), os.pwrite
    os.pwrite = lambda handle, content, at: whole(handle, bytes(content)[:600], at)
    with Experience.open(path, write=True, seal_rows=60) as experience:
        while True:
            name = f"e{len(experience.headers())}"
            experience.begin(EpisodeHeader(name, "synthetic", "walk"))
            for _ in range(5):
                experience.append(name, steps(len(experience), int(rng.integers(1, 10))))
                claim.count = len(experience)
            experience.end(name, Outcome())


def kills(count: int, rng: np.random.Generator, *, labelled: bool) -> Tally:
    """Kills writers of the same store, one after the other; a new store after every 20."""
    tally, path, claim = Tally(), Path(), Claim()
    with folder(memory=True) as base:
        for trial in range(count):
            if trial % 20 == 0:
                path = base / str(trial)
                create(path).close()
                claim.count = 0
            before = claim.count
            label, times = LABELS[rng.integers(len(LABELS))], rng.integers(1, 8)
            child = os.fork()
            if child == 0:
                if labelled:
                    faults.arm(f"{label}:{times}")
                write_until_killed(path, claim, trial)
                os._exit(1)
            if not labelled:
                time.sleep(float(rng.exponential(0.05)))
                os.kill(child, signal.SIGKILL)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
                raise RuntimeError("a writer ended by itself; what it printed says why")
            found = Experience.open(path)
            rewards = found.arrays().reward
            more = len(rewards) - claim.count
            tally.trials += 1
            tally.claimed += claim.count - before
            tally.lost += max(0, -more)
            tally.unclaimed += max(0, more)
            tally.wrong += int((rewards != np.arange(len(rewards))).sum()) + max(0, more - 9)
            tally.torn += found.recovered is not None
            claim.count = len(rewards)
    return tally


def killing(put: Put, config: Config) -> None:
    """Kills writers at labelled points and at random times."""
    for labelled, where in ((True, "at labelled points"), (False, "at random times")):
        start = time.perf_counter()
        tally = kills(config.kills, np.random.default_rng(put.seed), labelled=labelled)
        put("kill -9", f"{OURS}, {where}", tally.claimed, time.perf_counter() - start, **vars(tally))


# --- The peer ---------------------------------------------------------------------------------------------------------


def install_minari() -> None:
    """Makes .venv-minari; takes no time when it is there."""
    venv = ROOT / ".venv-minari"
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        needs = str(ROOT / "benchmarks" / "peers" / "minari.txt")
        subprocess.run([str(venv / "bin" / "python"), "-m", "pip", "-q", "install", "-r", needs], check=True)


def minari(put: Put, size: int) -> None:
    """The same episodes in Minari: written one by one and not fsynced, read, sampled, and a writer that is killed."""
    module, count = "benchmarks.peers.minari_store", size // LENGTH
    with folder() as base:
        (found,) = lines(".venv-minari", module, "measure", base / "x", count, LENGTH)
    put(
        "append",
        f"{MINARI}, 1000 steps an append, no fsync",
        size,
        found["append_s"],
        steps_per_s=size / found["append_s"],
    )
    put("read episodes", MINARI, size, found["read_s"], steps_per_s=size / found["read_s"])
    put("sample", MINARI, size, found["sample_s"], ms_per_256=1000 * found["sample_s"])

    tally, rng, start = Tally(), np.random.default_rng(put.seed), time.perf_counter()
    python = str(ROOT / ".venv-minari" / "bin" / "python")
    for _ in range(10):
        with folder(memory=True) as base:
            command = [python, "-m", module, "collect", str(base / "x"), "100000", "20"]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                said = [writer.stdout.readline()]
                time.sleep(float(rng.exponential(0.3)))
                writer.kill()
                said += writer.stdout.readlines()
            whole = [line for line in said if line.endswith("}\n")]
            (found,) = lines(".venv-minari", module, "count", base / "x")
        stored = json.loads(whole[-1])["stored"]
        tally.trials += 1
        tally.claimed += stored
        tally.lost += max(0, stored - found["readable"])
        tally.torn += "error" in found
    seconds = time.perf_counter() - start
    kept = {name: value for name, value in vars(tally).items() if name in ("trials", "claimed", "lost", "torn")}
    put("kill -9", f"{MINARI}, at random times", tally.claimed, seconds, **kept)


def main(config: Config) -> None:
    """Measures everything once for each seed."""
    results = Results("experience")
    if config.peers:
        install_minari()
    for seed in range(config.seeds):
        put = Put(results, seed)
        appending(put, config)
        killing(put, config)
        if config.peers:
            minari(put, min(config.sizes))
    with folder() as base:
        create(base / "x").close()
        for size in sorted(config.sizes):
            with Experience.open(base / "x", write=True) as experience:
                start = time.perf_counter()
                grow(experience, size)
            print(f"grown to {size:,} steps in {time.perf_counter() - start:.0f} s", flush=True)
            for seed in range(config.seeds):
                reading(Put(results, seed), base / "x", size)
                memory(Put(results, seed), base / "x", size)
    results.put_machine()


if __name__ == "__main__":
    main(tyro.cli(Config))
