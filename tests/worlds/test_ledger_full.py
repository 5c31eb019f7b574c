"""A full disk: refused before anybody acts, nothing half-written, and everything goes on once there is room."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.witness import audit, work
from gedanken.errors import LedgerError, StoreError
from gedanken.experience.cost import Cost
from gedanken.worlds.ledger import Ledger
from tests.worlds.ledgers import charged, opened, pay, reserve


@contextmanager
def only_bytes(left: int) -> Iterator[None]:
    """Every write to a file fails with ENOSPC once `left` more bytes were written, the last one after a part."""
    real, room = os.write, left

    def write(descriptor: int, content: Any) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(descriptor, content[:room])
        room -= done
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        yield


@pytest.mark.parametrize("left", [0, 1, 100, 250])
def test_a_mirror_that_cannot_grow(tmp_path: Path, left: int) -> None:
    with opened(tmp_path) as ledger:
        pay(ledger, "a", 3)
        before = (tmp_path / "ledger.sqlite.mirror").read_bytes()
        with only_bytes(left), pytest.raises(LedgerError, match="The disk is full.*do not act"):
            reserve(ledger, "b", 2)
        assert (tmp_path / "ledger.sqlite.mirror").read_bytes() == before
        assert charged(ledger) == 3
        pay(ledger, "b", 2)
        ledger.verify()


def full_database(ledger: Ledger, *, full: bool) -> None:
    database = ledger._journal._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages if full else 1_000_000}")


def pay_until_refused(ledger: Ledger) -> str:
    """Pays one step after another; the id of the one that the disk refused."""
    for number in range(1000):
        try:
            pay(ledger, f"a{number}", 1)
        except LedgerError as error:
            if "The disk is full" not in str(error):
                raise
            return f"a{number}"
    raise AssertionError("the disk was never full")


def test_a_database_that_cannot_grow(tmp_path: Path) -> None:
    with opened(tmp_path, learn=1000) as ledger:
        full_database(ledger, full=True)
        refused = pay_until_refused(ledger)
        held, mirrored = charged(ledger), (tmp_path / "ledger.sqlite.mirror").read_bytes()
        with pytest.raises(LedgerError, match="The disk is full"):
            ledger.imagined(10**6, "a model with a name that needs a page of its own" * 100)
        assert (tmp_path / "ledger.sqlite.mirror").read_bytes() == mirrored
        full_database(ledger, full=False)
        assert charged(ledger) == held, "a reservation whose commit did not fit stays charged"
        last = ledger.last(refused)
        if last is not None and last.kind == "reserve":
            ledger.commit(refused, Cost(steps=1))
        pay(ledger, "b", 1)
        ledger.verify()


def test_a_sync_that_fails_is_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gedanken.worlds import mirror

    def failing(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path) as ledger:
        pay(ledger, "a", 3)
        with monkeypatch.context() as patch:
            patch.setattr(mirror, "sync", failing)
            with pytest.raises(LedgerError, match="could not write"):
                reserve(ledger, "b", 2)
            with pytest.raises(LedgerError, match="A failed write could not be taken back"):
                reserve(ledger, "b", 2)
        with pytest.raises(LedgerError, match="can no longer be used"):
            ledger.close()
    with opened(tmp_path) as ledger:
        assert charged(ledger) == 3
        ledger.verify()


@pytest.mark.parametrize("limit", [6_000, 20_000, 40_000])
def test_a_run_into_a_limit_of_the_file_size(tmp_path: Path, limit: int) -> None:
    """The kernel refuses writes behind `limit` bytes of any file: in the mirror, the log, the database, the record."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "benchmarks.witness", "work", str(tmp_path), "100", "3"]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True)
    assert done.returncode in (LedgerError.exit_code, StoreError.exit_code), done.stderr
    assert done.stderr.startswith(("LedgerError", "StoreError")), done.stderr
    check_and_finish(tmp_path, 100)


def test_a_run_into_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=220k", "tmpfs", str(disk)], capture_output=True
        ).returncode
    )
    try:
        if mounted:
            with pytest.raises((LedgerError, StoreError), match="full|No space"):
                work(disk, 1000, 3)
            assert (disk / "witness.txt").stat().st_size > 0, "it was full before it began"
            subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        else:
            with only_bytes(30_000), pytest.raises((LedgerError, StoreError)):
                work(disk, 1000, 3)
        check_and_finish(disk, 120)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def check_and_finish(folder: Path, budget: int) -> None:
    found = audit(folder, budget)
    assert found.faults == 0, found
    assert found.acted > 0 or found.spent == 0
    work(folder, max(budget, found.spent + found.unknown), "episode")
    found = audit(folder, budget)
    assert found.unpaid == found.twice == found.lost == 0, found
