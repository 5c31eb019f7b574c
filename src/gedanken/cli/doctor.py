"""`gedanken doctor`: what this installation stands on, and what is missing."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal

from gedanken.cli.options import Answer, Options
from gedanken.compute import enable_compilation_cache
from gedanken.errors import GedankenError
from gedanken.worlds.sandbox.isolation import Isolation, missing

State = Literal["ok", "optional", "missing"]
_MARKS = {"ok": "ok      ", "optional": "optional", "missing": "MISSING "}
_SLOW_FSYNC_MS = 50.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `do`: how to get it, where it is not there."""

    name: str
    state: State
    found: str
    do: str | None = None


@dataclass(frozen=True, kw_only=True)
class Doctor(Options):
    """Tells versions, threads and devices, and what is missing and how to get it; exit status 1 if it is needed.

    Example: gedanken doctor --json
    """

    def __call__(self) -> Answer:
        findings = [_python(), *_dependencies(), _cores(), *_asked("jax", _jax), *_asked("MuJoCo", _mujoco), _fsync()]
        findings += [*_extras(), *_tools()]
        healthy = all(each.state != "missing" for each in findings)
        data = {"healthy": healthy, "findings": [asdict(each) for each in findings]}
        return Answer(data, lambda: _show(findings), exit_code=0 if healthy else 1)


def _show(findings: list[Finding]) -> None:
    width = max(len(each.name) for each in findings)
    for each in findings:
        print(f"{_MARKS[each.state]}  {each.name:<{width}}  {each.found}")
        if each.do is not None and each.state != "ok":
            print(f"{'':<10}{'':<{width}}  do: {each.do}")
    missing = [each.name for each in findings if each.state == "missing"]
    print(f"Missing: {', '.join(missing)}." if missing else "Nothing that is needed is missing.")


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    where = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", "ok" if good else "missing", where, "install Python 3.11 or newer.")


def _dependencies() -> Iterator[Finding]:
    try:
        needed = [each for each in requires("gedanken") or [] if "extra ==" not in each]
    except PackageNotFoundError:
        yield Finding("gedanken", "missing", "not installed as a package", "pip install -e . in its repository.")
        return
    yield Finding("gedanken", "ok", version("gedanken"))
    for requirement in needed:
        name = _name(requirement)
        found = _version(name)
        yield Finding(
            name, "missing" if found is None else "ok", found or "not installed", f"pip install {requirement!r}"
        )


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return Finding("cores", "ok", f"{cores}; threads in force: {threads} (--threads N changes it)")


def _jax() -> Iterator[Finding]:
    import jax

    cache = enable_compilation_cache()
    devices = ", ".join(f"{device.platform} {device.device_kind}" for device in jax.devices())
    yield Finding("jax devices", "ok", devices)
    if cache is None:
        yield Finding("compilation cache", "optional", "turned off", "unset JAX_ENABLE_COMPILATION_CACHE.")
        return
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    writable = os.access(there, os.W_OK)
    yield Finding(
        "compilation cache",
        "ok" if writable else "optional",
        f"{cache}" if writable else f"{cache} cannot be written, so every start compiles anew",
        "set JAX_COMPILATION_CACHE_DIR to a folder that can be written.",
    )


def _mujoco() -> Iterator[Finding]:
    make = importlib.import_module("gedanken.worlds.registry").make
    world = make("InvertedPendulum-v5")
    world.reset(seed=0)
    began = time.perf_counter()
    world.step(world.action_space.sample() * 0)
    took = (time.perf_counter() - began) * 1e3
    yield Finding("MuJoCo", "ok", f"InvertedPendulum-v5 stepped in {took:.2f} ms")


def _asked(name: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except (ImportError, OSError, RuntimeError, GedankenError) as error:
        return [Finding(name, "missing", str(error), "make install, or pip install -e . again.")]


def _fsync() -> Finding:
    """How long a small durable write takes here: each billing unit of a run costs a few."""
    took = []
    try:
        with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
            for _ in range(20):
                began = time.perf_counter()
                file.write(b"0" * 512)
                file.flush()
                os.fsync(file.fileno())
                took.append((time.perf_counter() - began) * 1e3)
    except OSError as error:
        return Finding("disk", "missing", f"{Path.cwd()}: {error}", "run in a folder that can be written.")
    middle = statistics.median(took)
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    state: State = "ok" if middle < _SLOW_FSYNC_MS else "optional"
    return Finding("disk", state, f"fsync {middle:.2f} ms, {free:.0f} GB free", "put runs on a faster local disk.")


def _extras() -> Iterator[Finding]:
    try:
        extras = metadata("gedanken").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return
    for extra in extras:
        # "jax[cuda12]" says more than jax itself; its plugin is what is looked for.
        wanted = [each for each in requires("gedanken") or [] if re.search(rf"extra == ['\"]{extra}['\"]", each)]
        lacking = [name for each in wanted if _version(name := _plugin(each) or _name(each)) is None]
        yield Finding(
            f"[{extra}]",
            "optional" if lacking else "ok",
            f"without {', '.join(lacking)}" if lacking else "installed",
            f"pip install 'gedanken[{extra}]'",
        )


def _tools() -> Iterator[Finding]:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    state: State = "ok" if found else "optional"
    told = found or "not found; shows reports and drives pages"
    yield Finding("chromium", state, told, "apt install chromium, or your system's way.")
    # Tried out, because that a tool is installed says little.
    for name, level in (("bwrap", Isolation.BUBBLEWRAP), ("landlock", Isolation.LANDLOCK)):
        why = missing(level)
        state = "optional" if why else "ok"
        do = "apt install bubblewrap, and allow user namespaces." if name == "bwrap" else "run on Linux 6.7 or newer."
        yield Finding(name, state, f"{why}; isolates programs that agents write" if why else "works", do)


def _plugin(requirement: str) -> str | None:
    found = re.match(r"jax\[(cuda\d+)\]", requirement)
    return f"jax-{found[1]}-plugin" if found else None


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0] if found else requirement


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
