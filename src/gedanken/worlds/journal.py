"""The ledger's log as one thing: the same chained lines in SQLite and in the mirror, written together or not at all."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gedanken.errors import LedgerError
from gedanken.experience.cost import Cost
from gedanken.experience.faults import kill_point
from gedanken.worlds import database
from gedanken.worlds.entries import GENESIS, Entry, Kind, parse, seal, verified_hash
from gedanken.worlds.mirror import Mirror, Scan
from gedanken.worlds.recovery import cannot_write, contradiction, recover


class Journal:
    """An append-only log of entries, safe across threads and processes.

    Opening compares both files and repairs what a crash can have done to either. `follow` is called once with every
    entry, old and new, in order, as soon as it is on the disk: whoever folds the log passes it.

    recovered: what opening had to repair, in words; empty if nothing.
    """

    def __init__(self, path: Path, follow: Callable[[Entry], None]) -> None:
        self.path = path
        self.recovered: list[str] = []
        self._follow = follow
        self._thread_lock = threading.Lock()
        self._seq, self._hash, self._bytes = 0, GENESIS, 0
        self._pending: list[tuple[Entry, str]] = []
        self._process = os.getpid()
        self._unusable: str | None = None
        self._closed = False
        self._mirror = Mirror(path.with_name(path.name + ".mirror"))
        with ExitStack() as on_failure:
            on_failure.callback(self._mirror.close)
            self._mirror.lock()
            self._database = recover(path, self._mirror, self.recovered)
            on_failure.callback(self._database.close)
            self._identity = _identity(path)
            self._refresh()
            on_failure.pop_all()
        self._mirror.unlock()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One serialised transaction: what is appended inside is on the disk, in both files, when it has ended.

        If the inside raises, nothing is written.

        Raises:
            LedgerError: the disk is full or failing (then nothing was written), or a file was changed from outside.
        """
        with self._usable(), ExitStack() as at_the_end:
            at_the_end.callback(self._mirror.unlock)
            self._mirror.lock()
            at_the_end.callback(self._roll_back)
            try:
                self._check_files()
                self._adopt_tail()
                self._database.execute("BEGIN IMMEDIATE")
                self._refresh()
                kill_point("journal.locked")
                yield
                if self._pending:
                    self._write()
            except (OSError, sqlite3.Error) as error:
                raise cannot_write(error) from error

    def append(
        self,
        kind: Kind,
        *,
        session: str,
        account: str | None = None,
        action_id: str | None = None,
        digest: str | None = None,
        cost: Cost | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds an entry to the current `exclusive` transaction."""
        tip = self._pending[-1][0] if self._pending else None
        seq, previous = (self._seq, self._hash) if tip is None else (tip.seq, tip.hash)
        entry = Entry(
            seq=seq + 1,
            kind=kind,
            at_ms=time.time_ns() // 1_000_000,
            session=session,
            account=account,
            action_id=action_id,
            digest=digest,
            cost=cost or Cost(),
            detail=detail or {},
        )
        line, sealed = seal(entry, previous)
        self._pending.append((replace(entry, hash=sealed), line))

    def latest(self, action_id: str) -> Entry | None:
        """The last entry about an action; for use inside `exclusive`."""
        row = self._database.execute(
            "SELECT line FROM entries WHERE action_id = ? ORDER BY seq DESC LIMIT 1", (action_id,)
        ).fetchone()
        return parse(row[0]) if row else None

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Everything committed so far, by anyone, has been followed; nobody in this process appends inside."""
        with self._usable(), _reading():
            self._refresh()
            yield

    def entries(self) -> Iterator[Entry]:
        """All entries, in order, read in pieces."""
        seq, previous = 0, GENESIS
        while True:
            with self._usable(), _reading():
                rows = self._database.execute(
                    "SELECT line FROM entries WHERE seq > ? ORDER BY seq LIMIT 1000", (seq,)
                ).fetchall()
            if not rows:
                return
            for (line,) in rows:
                digest = verified_hash(line, previous)
                if digest is None:
                    raise LedgerError(f"Entry {seq + 1} of the ledger's database was altered.", given=line[:80])
                seq, previous = seq + 1, digest
                yield parse(line)

    def verify(self) -> int:
        """Reads both files in full and compares them; returns the number of entries.

        Raises:
            LedgerError: they are damaged, altered, or do not say the same.
        """
        with self._usable(), _reading(), ExitStack() as at_the_end:
            at_the_end.callback(self._mirror.unlock)
            self._mirror.lock()
            self._check_files()
            self._adopt_tail()
            (verdict,) = self._database.execute("PRAGMA integrity_check(1)").fetchone()
            scan = Scan()
            pairs = zip_longest(database.lines(self._database), self._mirror.lines(scan))
            for seq, (in_database, in_mirror) in enumerate(pairs, start=1):
                if in_database is None or in_database[0] != in_mirror:
                    raise contradiction(seq)
            if verdict != "ok" or scan.bytes != self._mirror.size():
                raise LedgerError(
                    "The ledger's files are damaged.",
                    given=verdict if verdict != "ok" else "an unfinished line at the end of the mirror",
                    do="close the ledger and open it again: it is then repaired, and says how.",
                )
            return scan.count

    def close(self) -> None:
        """Closes both files."""
        with self._thread_lock:
            if self.closed:
                return
            self._closed, self._unusable = True, "It was closed."
            self._mirror.lock()
            self._database.close()
            self._mirror.close()

    @property
    def closed(self) -> bool:
        """Whether there is nothing left to close; always so in a forked child, whose parent it belongs to."""
        return self._closed or self._process != os.getpid()

    # --- writing ---

    def _write(self) -> None:
        kind = self._pending[0][0].kind
        lines = [line for _, line in self._pending]
        kill_point(f"{kind}.decided")
        # A Ctrl-C in here leaves the files right and this handle's view of them in doubt.
        self._unusable = "A write was interrupted."
        try:
            self._mirror.append("".join(f"{line}\n" for line in lines).encode())
            kill_point(f"{kind}.mirror_written")
            self._mirror.sync()
            kill_point(f"{kind}.mirror_synced")
            database.insert(self._database, self._seq + 1, lines)
            kill_point(f"{kind}.inserted")
            self._database.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            self._undo()
            raise cannot_write(error) from error
        kill_point(f"{kind}.committed")
        for entry, line in self._pending:
            self._advance(entry, line)
        self._unusable = None

    def _undo(self) -> None:
        """Takes a failed write out of both files; the handle is given up where the disk does not allow even that."""
        self._unusable = "A failed write could not be taken back."
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._mirror.cut(self._bytes)
            if database.head(self._database) == self._seq:
                self._unusable = None
        except (OSError, sqlite3.Error):
            return  # the write's own error is the one to raise

    def _refresh(self) -> None:
        """Follows what others have committed."""
        if database.head(self._database) < self._seq:
            self._unusable = "Its database lost entries while it was open."
            self._check_usable()
        for line, _ in database.lines(self._database, self._seq, self._hash):
            self._advance(parse(line), line)

    def _advance(self, entry: Entry, line: str) -> None:
        doubt, self._unusable = self._unusable, "Reading it was interrupted."
        self._follow(entry)
        self._seq, self._hash, self._bytes = entry.seq, entry.hash, self._bytes + len(line) + 1
        self._unusable = doubt

    def _adopt_tail(self) -> None:
        """Finishes or drops what another process wrote to the mirror before it died, ahead of its commit."""
        self._refresh()
        if self._mirror.size() == self._bytes:
            return
        if self._mirror.size() < self._bytes:
            self._unusable = "Its mirror was cut while it was open."
            self._check_usable()
        scan = Scan(self._bytes, self._seq, self._hash)
        tail = list(self._mirror.lines(scan))
        self._mirror.cut(scan.bytes)
        self._database.execute("BEGIN IMMEDIATE")
        database.insert(self._database, self._seq + 1, tail)
        self._database.execute("COMMIT")
        self._refresh()

    def _roll_back(self) -> None:
        self._pending.clear()
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """One thread at a time, in the process that opened it."""
        # Before the lock, which a fork may have copied while somebody held it.
        if self._process != os.getpid():
            raise LedgerError(
                "A ledger handle does not survive a fork.", do="open the ledger again in the child process."
            )
        with self._thread_lock:
            self._check_usable()
            yield

    def _check_usable(self) -> None:
        if self._unusable is not None:
            raise LedgerError(
                f"This ledger handle can no longer be used. {self._unusable}",
                given=self.path,
                do="open the ledger again: it repairs itself and says how.",
            )

    def _check_files(self) -> None:
        if not self._mirror.is_current() or _identity(self.path) != self._identity:
            self._unusable = "Its files were moved or rebuilt while it was open."
            self._check_usable()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            "The ledger cannot be read.", given=error, do="check the disk; open the ledger again to have it repaired."
        ) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
