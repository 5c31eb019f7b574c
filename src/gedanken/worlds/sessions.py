"""Who is still at work: one locked file per open ledger handle.

The kernel drops a file lock the moment its process dies, however it dies, so a session is alive exactly while its
file is locked. (A process id could be taken over by another process, and means nothing in another container.)
POSIX only, like the rest of the ledger: it stands on `flock`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Session:
    """One open handle of a ledger; alive until `close`, or until its process dies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.id = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._path, self._process = folder / self.id, os.getpid()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Ends the session and removes its file. In a forked child it does nothing: the session is the parent's."""
        if self._process != os.getpid():
            return
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def alive(folder: Path, session: str) -> bool:
    """Whether that session's process still holds it. The file of a dead session is removed."""
    try:
        descriptor = os.open(folder / session, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        (folder / session).unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
