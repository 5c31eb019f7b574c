"""The parent of a program without a namespace of its own: what the program leaves behind becomes its child, and ends.

Run as a script, without the package: `supervise.py SETTINGS COMMAND...`, where the settings are JSON with `readable`
and `writable` paths for Landlock, or null for none. It ends as the program did.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

_CHILD_SUBREAPER, _PARENT_DEATH_SIGNAL = 36, 1


def main(settings: str, *command: str) -> int:
    """Runs the command to its end, and then nothing of it is left."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _give_up)
    libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    allowed = json.loads(settings)
    program = os.fork()
    if not program:
        _become(allowed, command)
    status = 0
    while True:
        pid, ended = os.wait()
        if pid == program:
            status = ended
            break
    _end_all()
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _give_up(*_: object) -> None:
    """Whoever asked for the program is gone."""
    _end_all()
    os._exit(128 + signal.SIGTERM)


def _end_all() -> None:
    """Ends every child; what these leave behind become children in turn."""
    while children := _children():
        for child in children:
            os.kill(child, signal.SIGKILL)
            try:
                os.waitpid(child, 0)
            except ChildProcessError:
                continue


def _become(allowed: dict[str, list[str]] | None, command: tuple[str, ...]) -> None:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if allowed is not None:
            import_module("landlock").restrict(  # from beside this file
                readable=[Path(path) for path in allowed["readable"]],
                writable=[Path(path) for path in allowed["writable"]],
            )
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"The program cannot be started: {error}\n".encode())
    finally:
        os._exit(126)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(*sys.argv[1:]))
