"""The ledger's first copy: one append-only table in SQLite (WAL, `synchronous=FULL`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from gedanken.errors import LedgerError
from gedanken.worlds.entries import GENESIS, verified_hash

# The chained line is the only stored column; the others are read out of it, so they cannot say anything else.
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY,
    line TEXT NOT NULL,
    kind TEXT GENERATED ALWAYS AS (json_extract(line, '$.kind')) VIRTUAL,
    account TEXT GENERATED ALWAYS AS (json_extract(line, '$.account')) VIRTUAL,
    action_id TEXT GENERATED ALWAYS AS (json_extract(line, '$.action_id')) VIRTUAL,
    cost TEXT GENERATED ALWAYS AS (json_extract(line, '$.cost')) VIRTUAL
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_action ON entries (action_id, seq) WHERE action_id IS NOT NULL;
CREATE TRIGGER IF NOT EXISTS entries_refuse_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_refuse_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_refuse_gaps BEFORE INSERT ON entries
    WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM entries)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
COMMIT;
"""
_OF_THE_FILE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SUFFIXES = ("", "-wal", "-shm")


class Malformed(Exception):
    """SQLite cannot read its own file; internal to the ledger, which then turns to the mirror."""


def connect(path: Path) -> sqlite3.Connection:
    """Opens the database, creating table, index and triggers where they are missing.

    Raises:
        Malformed: the file is there and is not a sound database.
        LedgerError: it is a sound database of something else.
    """
    connection = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables - {"entries"}:
            raise LedgerError(
                "This is a database of something else than a ledger.",
                given=f"{path} with the tables {', '.join(sorted(tables))}",
                expected="a ledger, or no file yet",
                do="give the ledger a path of its own.",
            )
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LedgerError(
                "SQLite cannot keep a write-ahead log here.",
                given=f"{path}, journal mode {mode!r}",
                expected="a local file system with shared memory",
                do="put the run folder on a local disk.",
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.executescript(_SCHEMA)
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise Malformed(verdict)
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise Malformed(str(error)) from error
        raise
    except (Malformed, LedgerError):
        connection.close()
        raise
    return connection


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (line, hash) of every entry, for a reader that takes no part: nothing is locked, repaired or written.

    Raises:
        LedgerError: there is no ledger, SQLite cannot read it, or an entry was altered.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60.0)
        try:
            yield from lines(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise LedgerError(
            "The ledger cannot be read.",
            given=f"{path}: {error}",
            do="open it once with `gedanken resume`: a damaged database is then rebuilt from the mirror beside it.",
        ) from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite complains of the file's content, and not of a lock, a full disk or a permission."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return (code & 0xFF) in _OF_THE_FILE or code == sqlite3.SQLITE_IOERR_SHORT_READ


def head(connection: sqlite3.Connection) -> int:
    """The number of the last entry; 0 if there is none."""
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()
    return int(seq)


def lines(connection: sqlite3.Connection, after: int = 0, previous: str = GENESIS) -> Iterator[tuple[str, str]]:
    """Yields (line, hash) of every entry behind the one with the number `after` and the hash `previous`.

    Raises:
        LedgerError: an entry was altered, or one is missing in between.
    """
    cursor = connection.execute("SELECT seq, line FROM entries WHERE seq > ? ORDER BY seq", (after,))
    for expected, (seq, line) in enumerate(cursor, start=after + 1):
        digest = verified_hash(line, previous) if seq == expected else None
        if digest is None:
            raise LedgerError(
                f"Entry {expected} of the ledger's database was altered or removed.",
                given=f"seq {seq}: {line[:80]}",
                expected="the entry that the ledger wrote",
                do="nothing was spent; if you trust the mirror beside it, move the database (and its -wal and -shm) "
                "away and open the ledger again: the database is then rebuilt from the mirror.",
            )
        yield line, digest
        previous = digest


def insert(connection: sqlite3.Connection, first: int, new: Iterable[str]) -> None:
    """Adds lines as entries `first`, `first + 1`, ..., inside the caller's transaction."""
    connection.executemany("INSERT INTO entries (seq, line) VALUES (?, ?)", enumerate(new, start=first))


def set_aside(path: Path) -> Path:
    """Renames a malformed database with its side files, so that nothing of it is lost; returns the new name."""
    number = 1
    while (there := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in _SUFFIXES:
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(there.with_name(there.name + suffix))
    return there
