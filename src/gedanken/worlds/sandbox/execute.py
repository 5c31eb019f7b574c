"""One run of one program: started, watched, ended, and told what became of it and what it used up."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from gedanken.errors import ConfigError
from gedanken.worlds.sandbox.isolation import WORK, Isolation, bubblewrapped, python_paths, require, supervised
from gedanken.worlds.sandbox.limits import Limits

_WATCHED_EVERY = 0.02
_PATIENCE = 5.0
_TAIL = 16_384
"""Bytes of each stream's end that are kept."""
_OWN = 3
"""Processes that belong to the isolation and not to the program."""


class Status(StrEnum):
    """How a program ended."""

    OK = "ok"
    FAILED = "failed"
    """it ended by itself, with a status that is not 0"""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    DISK = "disk"
    OUTPUT = "output"
    PROCESSES = "processes"
    KILLED = "killed"
    """by a signal that did not come from here"""


@dataclass(frozen=True)
class Execution:
    """What became of a program.

    exit_code: None where a limit ended it. stdout, stderr: the end of each. wall_ms; cpu_ms: of all its processes, but
    for what the shortest-lived did unseen. peak_mb: the most resident memory of all of them that was seen.
    """

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    wall_ms: int
    cpu_ms: int
    peak_mb: int
    isolation: Isolation


def execute(
    command: Sequence[str],
    folder: Path,
    *,
    limits: Limits | None = None,
    isolation: Isolation = Isolation.BUBBLEWRAP,
    readable: Sequence[Path] = (),
    masked: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
) -> Execution:
    """Runs a program to its end, or to that of its limits. Nothing that it started outlives this call.

    Args:
        command: what to run; `"python"` as its first word is this interpreter.
        folder: where it works, the only place that it can write to. Under bubblewrap it is called /sandbox inside.
        limits: what it may use up.
        isolation: how it is kept apart from everything else.
        readable: what else it may read.
        masked: folders that it must not see, although they lie in one that it may read, such as a package's data. Only
            bubblewrap can do that.
        environment: its variables, besides PATH and HOME; nothing is inherited.

    Raises:
        ConfigError: the isolation cannot be had here, or the folder is none. Nothing was run.
    """
    limits = limits or Limits()
    require(isolation)
    if not folder.is_dir():
        raise ConfigError("A program needs a folder to work in.", given=folder)
    folder = folder.resolve()
    words = [sys.executable if word == "python" and not i else word for i, word in enumerate(command)]
    inside = isolation is Isolation.BUBBLEWRAP
    variables = {"PATH": "/usr/bin:/bin", "HOME": WORK if inside else str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    variables |= environment or {}
    paths = (*python_paths(), *(path.resolve() for path in readable))
    if inside:
        words = bubblewrapped(
            words, folder, readable=paths, masked=masked, disk_mb=limits.disk_mb, environment=variables
        )
    else:
        words = supervised(words, folder, readable=paths if isolation is Isolation.LANDLOCK else None)
    began = time.monotonic()
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=os.environ.copy() if inside else variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=limits.set_own,
    )
    assert process.stdout is not None and process.stderr is not None
    streams = [_Stream(process.stdout, limits.output_kb << 10), _Stream(process.stderr, limits.output_kb << 10)]
    used = _Used()
    try:
        broken = _watch(process, folder, streams, limits, began, used)
    finally:
        _end(process)
    waited_for = _reap(process)
    for stream in streams:
        stream.join()
    return Execution(
        broken or _status(process.returncode, streams[1].text),
        None if broken else process.returncode,
        streams[0].text,
        streams[1].text,
        round(1_000 * (time.monotonic() - began)),
        round(1_000 * max(waited_for, used.cpu)),
        used.peak >> 20,
        isolation,
    )


def _status(code: int, stderr: str) -> Status:
    """What an ending means that nobody here brought about. Above 128, a signal's number is added to it."""
    if code == 0:
        return Status.OK
    if code < 0 or code > 128:
        return Status.KILLED
    return Status.MEMORY if "MemoryError" in stderr or "std::bad_alloc" in stderr else Status.FAILED


class _Used:
    """What a program's processes have used, as far as it was seen. peak: bytes. cpu: seconds."""

    def __init__(self) -> None:
        self.peak = 0
        self._ticks: dict[int, int] = {}

    @property
    def cpu(self) -> float:
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def look(self, family: Sequence[int]) -> None:
        resident = 0
        for pid in family:
            try:
                resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except (OSError, IndexError):
                continue
            self._ticks[pid] = int(stat[11]) + int(stat[12])
        self.peak = max(self.peak, resident * os.sysconf("SC_PAGE_SIZE"))


class _Stream:
    """Reads a pipe to its end, and keeps the last of it."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self._pipe, self._most, self._kept, self.total = pipe, most, bytearray(), 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return self.total > self._most

    @property
    def text(self) -> str:
        return self._kept[-_TAIL:].decode(errors="replace")

    def join(self) -> None:
        self._thread.join(5.0)
        self._pipe.close()

    def _read(self) -> None:
        while part := os.read(self._pipe.fileno(), 65_536):
            self.total += len(part)
            self._kept += part
            del self._kept[:-_TAIL]


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    streams: Sequence[_Stream],
    limits: Limits,
    began: float,
    used: _Used,
) -> Status | None:
    """Looks at a program until it ends: which limit it broke, if any."""
    looked_at_disk = began
    while not _ended(process.pid):
        now, family = time.monotonic(), _family(process.pid)
        if len(family) > limits.processes + _OWN:
            return Status.PROCESSES
        used.look(family)
        if now - began > limits.seconds or used.cpu > (limits.cpu_seconds or math.inf):
            return Status.TIMEOUT
        if used.peak > limits.memory_mb << 20:
            return Status.MEMORY
        if any(stream.over for stream in streams):
            return Status.OUTPUT
        if now - looked_at_disk > 0.1:
            looked_at_disk = now
            if _size(folder) > limits.disk_mb << 20:
                return Status.DISK
        time.sleep(_WATCHED_EVERY)
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends everything that the program has started; under bubblewrap, its namespace ends with its first process."""
    family = _family(process.pid)
    for pid in (*family, process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # The end of a namespace takes the kernel a moment.
    patience = time.monotonic() + _PATIENCE
    while time.monotonic() < patience and not all(_ended(pid) for pid in family):
        time.sleep(0.005)


def _reap(process: subprocess.Popen[bytes]) -> float:
    """Waits for the program's end; processor time in seconds, of all that were waited for."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def _ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state == "Z"


def _family(pid: int) -> list[int]:
    """The processes that descend from one, without it."""
    found: list[int] = []
    open_ = [pid]
    while open_:
        parent = open_.pop()
        try:
            threads = os.listdir(f"/proc/{parent}/task")
            children = [
                int(child)
                for thread in threads
                for child in Path(f"/proc/{parent}/task/{thread}/children").read_text().split()
            ]
        except OSError:
            continue
        found += children
        open_ += children
    return found


def _size(folder: Path) -> int:
    """Bytes on the disk below a folder; what vanishes while it is looked at counts as nothing."""
    total, open_ = 0, [str(folder)]
    while open_:
        try:
            with os.scandir(open_.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        open_.append(entry.path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return sys.maxsize  # too deep to be looked at, so that anything may be there
    return total
