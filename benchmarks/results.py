"""Files of results: long-format CSV, one row a figure, replaced when the same measurement is made again.

The columns are `claim, world, method, seed, paid, metric, value, seconds, command`:

- claim: which question the figure belongs to, such as `sample_efficiency`; `machine` for what it was measured on.
- world, method, seed: what was measured; repeats of a timing count as seeds.
- paid: real steps paid for until then. metric, value: the figure. What was not measured has no row.
- seconds: how long it took, without evaluation where the metric is a return.
- command: what to type, from the repository's root, to measure it again.
"""

from __future__ import annotations

import csv
import fcntl
import io
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
MACHINE = "machine"


@dataclass(frozen=True)
class Row:
    """One figure. See the module's text for the columns."""

    claim: str
    world: str
    method: str
    seed: int
    paid: int
    metric: str
    value: float
    seconds: float
    command: str

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What makes two rows the same measurement: a new one replaces all rows of its key."""
        return (self.claim, self.world, self.method, self.seed, command_key(self.command))


class Figure(NamedTuple):
    """What one measurement found at one moment."""

    paid: int
    metric: str
    value: float
    seconds: float


class Results:
    """The file `benchmarks/results/<topic>.csv`.

    Args:
        topic: the file's name, without its ending.
        command: what to type to measure again; by default, how this process was started.
        folder: where result files lie.
    """

    def __init__(self, topic: str, *, command: str | None = None, folder: Path = RESULTS) -> None:
        self.path = folder / f"{topic}.csv"
        self.command = this_command() if command is None else command
        if any(part.startswith(("/", "~")) for part in shlex.split(self.command)):
            raise ValueError(f"a command that others can repeat names no absolute path: {self.command}")

    def put(self, *, claim: str, world: str, method: str, seed: int, figures: Iterable[Figure]) -> None:
        """Writes all figures of one measurement, in place of those it gave before.

        Raises:
            ValueError: a figure is not finite. What was not measured is left out, not written down.
        """
        rows = [Row(claim, world, method, seed, *figure, self.command) for figure in figures]
        for row in rows:
            if not (math.isfinite(row.value) and math.isfinite(row.seconds)):
                raise ValueError(f"not a finite figure: {row}")
        replaced = {row.key for row in rows}
        with _locked(self.path.parent):
            kept = [row for row in read(self.path) if row.key not in replaced]
            _write(self.path, sorted(kept + rows, key=lambda row: (row.key, row.metric, row.paid)))

    def put_machine(self) -> None:
        """Writes down what this process measures on: its processor, versions, threads and matrix-product peak."""
        about = machine()
        start = time.perf_counter()
        figures = {"sgemm_gflops": sgemm_gflops(), "threads": about.threads, "cores": about.cores}
        took = time.perf_counter() - start
        self.put(
            claim=MACHINE,
            world=about.processor,
            method=about.versions,
            seed=0,
            figures=[Figure(0, metric, value, took) for metric, value in figures.items()],
        )


def read(path: Path) -> list[Row]:
    """All rows of a result file; none where there is no file.

    Raises:
        ValueError: the file has other columns, or a cell that is no number where one belongs.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        lines = csv.DictReader(file)
        names = [field.name for field in fields(Row)]
        if lines.fieldnames != names:
            raise ValueError(f"{path.name} has the columns {lines.fieldnames}, expected {names}")
        return [
            Row(
                line["claim"],
                line["world"],
                line["method"],
                int(line["seed"]),
                int(line["paid"]),
                line["metric"],
                float(line["value"]),
                float(line["seconds"]),
                line["command"],
            )
            for line in lines
        ]


def command_key(command: str) -> str:
    """The program in a command, without its arguments: `python -m benchmarks.x --seed 1` -> `benchmarks.x`."""
    words = [word for word in shlex.split(command) if "=" not in word.split("/")[0]]  # leaves out VARIABLE=value
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    scripts = [word for word in words if word.endswith(".py")]
    return (scripts or words or [""])[0]


def this_command() -> str:
    """How this process was started, as one would type it from the repository's root."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    else:
        path = Path(sys.argv[0]).resolve()
        root = RESULTS.parent.parent
        program = ["python", str(path.relative_to(root)) if path.is_relative_to(root) else path.name]
    return shlex.join([*program, *sys.argv[1:]])


# --- The machine ----------------------------------------------------------------------------------------------------


class Machine(NamedTuple):
    """What figures were measured on. `threads` is what one matrix product of JAX may use."""

    processor: str
    versions: str
    cores: int
    threads: int


def machine() -> Machine:
    """What this process runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    single = "--xla_cpu_multi_thread_eigen=false" in os.environ.get("XLA_FLAGS", "")
    names = ("jax", "jaxlib", "equinox", "numpy", "gymnasium", "mujoco", "torch", "stable-baselines3", "sbx-rl")
    found = [f"python {platform.python_version()}", *(f"{name} {v}" for name in names if (v := _version(name)))]
    return Machine(_processor(), ", ".join(found), cores, 1 if single else cores)


def here(world: str) -> str:
    """`world` as measured on this machine: speeds do not compare between machines, and are kept side by side."""
    return f"{world} on {machine().processor}"


def sgemm_gflops(size: int = 2048, repeats: int = 15) -> float:
    """The best float32 matrix product of JAX in this process, in 10^9 operations a second: the limit of our speed."""
    import jax
    import jax.numpy as jnp

    a, b = jax.random.normal(jax.random.key(0), (2, size, size))
    product = jax.jit(jnp.matmul)
    product(a, b).block_until_ready()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        product(a, b).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# --- Writing --------------------------------------------------------------------------------------------------------


def _write(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([field.name for field in fields(Row)])
    lines.writerows([_cell(value) for value in astuple(row)] for row in rows)
    unfinished = path.with_name(f".{path.name}.new")
    with unfinished.open("w", newline="") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, among all processes: seeds are measured side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # lets go of the lock too
