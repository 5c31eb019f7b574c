"""The ledger's second copy: an append-only text file of the same chained lines, written before SQLite commits.

SQLite drops the last commits without a word when its write-ahead log is cut; this file still has them. It is written
and fsynced inside the ledger's transaction, and before SQLite's own commit, so whatever SQLite holds is here too, and
at most the entries of one unfinished transaction are here alone. Its lock is the ledger's lock across processes.

What it cannot do: if the same last entries are cut out of both files at once, nothing is left to tell.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gedanken.errors import LedgerError
from gedanken.experience.files import sync, sync_folder
from gedanken.worlds.entries import GENESIS, verified_hash

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass
class Scan:
    """How far a scan of the mirror has got: `bytes` of verified lines, the last with the hash `head`."""

    bytes: int = 0
    count: int = 0
    head: str = GENESIS


class Mirror:
    """The open file. Appending and cutting are for whoever holds its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        created = not path.exists()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if created:
            sync_folder(path.parent)

    def lock(self) -> None:
        """Waits until no other handle, in this or any other process, holds the ledger."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def is_current(self) -> bool:
        """Whether the path still leads to this open file."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def append(self, lines: bytes) -> None:
        """Writes whole lines; they are in the file, and not yet surely on the disk.

        Raises:
            OSError: the disk is full or failing; a part of `lines` may be left behind, for the caller to `cut`.
        """
        written = 0
        while written < len(lines):
            written += os.write(self._descriptor, lines[written:])

    def sync(self) -> None:
        """Forces what was appended onto the disk."""
        sync(self._descriptor)

    def cut(self, size: int) -> None:
        """Drops everything behind `size` bytes."""
        os.ftruncate(self._descriptor, size)
        sync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def lines(self, scan: Scan) -> Iterator[str]:
        """Yields verified lines from `scan` on, and moves `scan` along with them.

        Ends at the end of the file, or in front of a last line that was not written in full (whoever wrote it died).

        Raises:
            LedgerError: a line was altered, or something stands behind a broken line.
        """
        with open(self.path, "rb") as file:
            file.seek(scan.bytes)
            for raw in file:
                line = _text(raw)
                digest = verified_hash(line, scan.head) if line is not None else None
                if digest is None or line is None:
                    if _is_torn(raw) and not file.read(1):
                        return
                    raise LedgerError(
                        f"Line {scan.count + 1} of the ledger's mirror was altered.",
                        given=f"{raw[:80]!r} in {self.path}",
                        expected="the line that the ledger wrote",
                        do="nothing was spent; if you trust the database beside it, move the mirror away and open the "
                        "ledger again: the mirror is then rebuilt from the database.",
                    )
                scan.bytes, scan.count, scan.head = scan.bytes + len(raw), scan.count + 1, digest
                yield line


def _text(raw: bytes) -> str | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        return raw[:-1].decode("ascii")
    except UnicodeDecodeError:
        return None


def _is_torn(raw: bytes) -> bool:
    # A write that never finished lacks its newline; after a power cut its blocks may also have come back as zeros.
    return not raw.endswith(b"\n") or b"\0" in raw
