"""Opening a ledger: both files are brought to the same, longest verified chain.

A crash, a cut or a lost file takes entries from the end of one copy, and the other copy still has them. Only such
missing ends are repaired; an entry that was altered is never overwritten, but refused, with a word on what to do.
"""

from __future__ import annotations

import sqlite3
from itertools import zip_longest
from pathlib import Path

from gedanken.errors import LedgerError
from gedanken.experience.files import sync_folder
from gedanken.worlds import database
from gedanken.worlds.mirror import DISK_FULL, Mirror, Scan


def recover(path: Path, mirror: Mirror, recovered: list[str]) -> sqlite3.Connection:
    """Opens the database at `path` and repairs it and its mirror from each other. The caller holds the mirror's lock.

    Args:
        path: the database; made if it is missing.
        mirror: its mirror.
        recovered: gets one sentence for everything that was repaired.

    Raises:
        LedgerError: the files contradict each other, were altered, cannot be written, or neither can be trusted to
            hold everything. Nothing was spent.
    """
    try:
        connection = database.connect(path)
    except database.Malformed as damage:
        return _rebuild(path, mirror, recovered, str(damage))
    except sqlite3.Error as error:
        raise cannot_write(error) from error
    sync_folder(path.parent)
    try:
        _complete(connection, mirror, recovered)
    except sqlite3.Error as error:
        connection.close()
        if database.is_damage(error):
            return _rebuild(path, mirror, recovered, str(error))
        raise cannot_write(error) from error
    except (OSError, LedgerError):
        connection.close()
        raise
    return connection


def _complete(connection: sqlite3.Connection, mirror: Mirror, recovered: list[str]) -> None:
    """Compares both files entry by entry, and gives the shorter one what it lacks."""
    scan, shared = Scan(), Scan()
    in_database = 0
    for stored, mirrored in zip_longest(database.lines(connection), mirror.lines(scan)):
        if stored is not None and mirrored is not None:
            if stored[0] != mirrored:
                raise contradiction(scan.count)
            shared = Scan(scan.bytes, scan.count, scan.head)
        in_database += stored is not None
    torn = mirror.size() - scan.bytes
    if torn:
        mirror.cut(scan.bytes)
        recovered.append(f"cut {torn} bytes of an unfinished line from the end of the mirror")
    if scan.count > in_database:
        connection.execute("BEGIN IMMEDIATE")
        database.insert(connection, shared.count + 1, mirror.lines(shared))
        connection.execute("COMMIT")
        recovered.append(f"completed the database with the mirror's entries {in_database + 1} to {scan.count}")
    elif in_database > scan.count:
        for line, _ in database.lines(connection, scan.count, scan.head):
            mirror.append(f"{line}\n".encode())
        mirror.sync()
        recovered.append(f"completed the mirror with the database's entries {scan.count + 1} to {in_database}")


def _rebuild(path: Path, mirror: Mirror, recovered: list[str], damage: str) -> sqlite3.Connection:
    """Sets a malformed database aside and makes a new one of the mirror."""
    scan = Scan()
    for _ in mirror.lines(scan):
        pass
    readable = _readable_entries(path)
    if scan.count == 0 or scan.count < readable:
        raise LedgerError(
            "The ledger's database is malformed, and its mirror holds less than it.",
            given=f"{path}: {damage}; {readable} entries readable there, {scan.count} in the mirror",
            expected="a mirror that holds every entry",
            do="restore one of the two files from a backup; nothing was spent.",
        )
    there = database.set_aside(path)
    sync_folder(path.parent)
    recovered.append(f"set the malformed database ({damage}) aside as {there.name}")
    return recover(path, mirror, recovered)


def _readable_entries(path: Path) -> int:
    """How many entries of a malformed database can still be read and verified."""
    count = 0
    connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    try:
        for _ in database.lines(connection):
            count += 1
    except (sqlite3.Error, LedgerError):
        pass  # the end of what is readable is what was asked for
    finally:
        connection.close()
    return count


def contradiction(seq: int) -> LedgerError:
    """The error for two sound files that do not tell the same story."""
    return LedgerError(
        f"The ledger's database and its mirror contradict each other at entry {seq}: one of them was tampered with.",
        expected="the same entries in both",
        do="nothing was spent; find out which file is true and move the other one away: it is then rebuilt.",
    )


def cannot_write(error: OSError | sqlite3.Error) -> LedgerError:
    """The error for a write that failed and was taken back."""
    full = isinstance(error, OSError) and error.errno in DISK_FULL
    full = full or getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return LedgerError(
        "The disk is full: the ledger could not write." if full else "The ledger could not write.",
        given=error,
        expected="a few kilobytes of free space" if full else "a disk that can be written to",
        do="do not act: nothing of this entry was written. Free some space and try again."
        if full
        else "do not act: nothing of this entry was written. Check the disk and try again.",
    )
