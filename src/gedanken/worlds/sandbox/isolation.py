"""How a program is kept apart from everything else, and whether this machine can do it.

Every level is tried out before it is used: that a tool is installed says little, because containers and distributions
often forbid what it needs. What was asked for and cannot be had is refused; nothing weaker takes its place by itself.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from gedanken.errors import ConfigError
from gedanken.worlds.sandbox import landlock

WORK = "/sandbox"
"""Where a program under bubblewrap finds its folder."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")


class Isolation(StrEnum):
    """Levels, from the strongest to the weakest."""

    BUBBLEWRAP = "bubblewrap"
    """namespaces of its own for files, processes, network and users: it sees its folder, Python and nothing else"""
    LANDLOCK = "landlock"
    """the kernel refuses it other files, TCP and, on newer kernels, signals to others; UDP it does not"""
    LIMITS = "limits"
    """no isolation: for programs of one's own, which may go wrong but mean no harm"""


def require(level: Isolation) -> Isolation:
    """The level, if this machine has it.

    Raises:
        ConfigError: it does not work here; why, and what helps.
    """
    why = missing(level)
    if why:
        raise ConfigError(
            f"Programs cannot be isolated by {level} here, so none is run.",
            given=why,
            expected="a machine that allows it",
            do="install bubblewrap (`apt-get install bubblewrap`) and allow user namespaces, or ask for another level; "
            f"here are {', '.join(other for other in Isolation if not missing(other))}.",
        )
    return level


def available() -> dict[Isolation, str]:
    """Every level, and why it does not work here; "" where it does."""
    return {level: missing(level) for level in Isolation}


@functools.cache
def missing(level: Isolation) -> str:
    """Why a level does not work here; "" where it does. Tried out once a process."""
    if sys.platform != "linux":
        return "" if level is Isolation.LIMITS else f"{sys.platform} is not Linux"
    match level:
        case Isolation.BUBBLEWRAP:
            return _bubblewrap_missing()
        case Isolation.LANDLOCK:
            return landlock.missing()
        case Isolation.LIMITS:
            return ""


def bubblewrapped(
    command: Sequence[str],
    folder: Path,
    *,
    readable: Sequence[Path],
    masked: Sequence[Path] = (),
    disk_mb: int,
    environment: dict[str, str],
) -> list[str]:
    """The command line that runs `command` in namespaces of its own, with `folder` as its `WORK`, `masked` empty."""
    size = str(disk_mb << 20)
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    words += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    for path in _SYSTEM:
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for scratch in ("/dev/shm", "/tmp"):
        words += ["--size", size, "--tmpfs", scratch]
    for one in readable:  # after /tmp, which they may lie in
        words += ["--ro-bind", str(one), str(one)]
    for one in masked:
        # What is not there needs no mask, and could not get one in a folder that cannot be written to.
        if any(one.is_relative_to(other) for other in (*map(Path, _SYSTEM), *readable)) and one.is_dir():
            words += ["--size", "4096", "--tmpfs", str(one), "--remount-ro", str(one)]
    words += ["--bind", str(folder), WORK, "--chdir", WORK]
    # Else both are memory without a limit that it could fill.
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return [*words, "--", *command]


def supervised(command: Sequence[str], folder: Path, *, readable: Sequence[Path] | None) -> list[str]:
    """The command line that runs `command` below a process that ends what it leaves behind.

    readable: under Landlock, what it may read besides its folder and the system; None without Landlock.
    """
    allowed = None
    if readable is not None:
        system = [
            path for path in (*_SYSTEM, "/etc", "/dev/urandom", "/proc/self", "/proc/meminfo") if Path(path).exists()
        ]
        allowed = {"readable": [*system, *map(str, readable)], "writable": [str(folder), "/dev/null"]}
    script = str(Path(__file__).with_name("supervise.py"))
    return [sys.executable, "-I", "-S", script, json.dumps(allowed), *command]


def python_paths() -> tuple[Path, ...]:
    """What a Python program has to read besides the system's own folders: this interpreter and its packages."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_paths()["purelib"])}
    outside = [path.resolve() for path in found if not any(path.is_relative_to(system) for system in _SYSTEM)]
    return tuple(sorted(path for path in outside if not any(other in path.parents for other in outside)))


def _bubblewrap_missing() -> str:
    if shutil.which("bwrap") is None:
        return "bwrap is not installed"
    with tempfile.TemporaryDirectory() as folder:
        words = bubblewrapped(
            [sys.executable, "-c", "open('there', 'w').write('x')"],
            Path(folder),
            readable=python_paths(),
            disk_mb=8,
            environment={},
        )
        try:
            tried = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if tried.returncode == 0 and (Path(folder) / "there").exists():
            return ""
    return tried.stderr.strip() or f"bwrap ended with {tried.returncode}"
