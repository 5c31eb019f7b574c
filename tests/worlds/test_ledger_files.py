"""Files that were cut, lost, damaged or altered: repaired from each other, or refused; never spent from."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gedanken.errors import LedgerError
from tests.worlds.ledgers import charged, copied, opened, pay, reserve

CHARGED = 7


@pytest.fixture
def shm(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: these tests open thousands of ledgers, and each fsyncs."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    folder = Path("/dev/shm") / f"gedanken-{tmp_path.parent.name}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def crashed(folder: Path, *, checkpointed: bool = False) -> Path:
    """A ledger as a power cut leaves it: 5 spent and 2 reserved of 10; with its write-ahead log, or without."""
    with opened(folder / "live") as ledger:
        pay(ledger, "a", 3)
        pay(ledger, "b", 2)
        reserve(ledger, "c", 2)
        if checkpointed:
            with sqlite3.connect(folder / "live" / "ledger.sqlite") as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            other.close()
        return copied(folder / "live", folder / "crashed")


def survives_every_cut(folder: Path, name: str, *, checkpointed: bool, every: Callable[[int], bool]) -> None:
    source = crashed(folder, checkpointed=checkpointed)
    size = (source / name).stat().st_size
    assert size, "there is nothing to cut"
    for cut in filter(every, range(size + 1)):
        there = copied(source, folder / "cut")
        with (there / name).open("r+b") as file:
            file.truncate(cut)
        with opened(there) as ledger:
            assert charged(ledger) == CHARGED, f"{name} cut to {cut} of {size} bytes: {ledger.recovered}"
            assert [open_.action_id for open_ in ledger.unknowns()] == ["c"]
            ledger.verify()


MIRROR, DATABASE, LOG = "ledger.sqlite.mirror", "ledger.sqlite", "ledger.sqlite-wal"
NEAR_A_PAGE = (0, 1, 24, 32, 56, 99, 100, 101, 4095)


def test_the_mirror_cut_at_some_bytes(shm: Path) -> None:
    survives_every_cut(shm, MIRROR, checkpointed=False, every=lambda cut: cut < 4 or cut % 13 == 0 or cut > 1700)


@pytest.mark.parametrize(("name", "checkpointed"), [(DATABASE, True), (DATABASE, False), (LOG, False)])
def test_the_database_cut_at_some_bytes(shm: Path, name: str, checkpointed: bool) -> None:
    survives_every_cut(
        shm, name, checkpointed=checkpointed, every=lambda cut: cut % 4096 in NEAR_A_PAGE or cut % 997 == 0
    )


@pytest.mark.slow
def test_the_mirror_cut_at_every_byte(shm: Path) -> None:
    survives_every_cut(shm, MIRROR, checkpointed=False, every=lambda cut: True)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointed", [True, False])
def test_the_database_cut_at_every_byte(shm: Path, checkpointed: bool) -> None:
    survives_every_cut(shm, DATABASE, checkpointed=checkpointed, every=lambda cut: True)


@pytest.mark.slow
def test_the_write_ahead_log_cut_at_every_fifth_byte(shm: Path) -> None:
    """It is long; benchmarks/ledger.py cuts it at every single byte."""
    survives_every_cut(shm, LOG, checkpointed=False, every=lambda cut: cut % 5 == 0)


def test_what_was_repaired_is_said(shm: Path) -> None:
    source = crashed(shm)
    lines = (source / "ledger.sqlite.mirror").read_bytes().splitlines(keepends=True)

    def recovered(**cut: int) -> str:
        there = copied(source, shm / "cut")
        for name, size in cut.items():
            with (there / {"mirror": "ledger.sqlite.mirror", "wal": "ledger.sqlite-wal"}[name]).open("r+b") as file:
                file.truncate(size)
        with opened(there) as ledger:
            return ledger.recovered

    assert recovered() == ""
    assert recovered(wal=0) == "completed the database with the mirror's entries 1 to 6"
    assert recovered(mirror=len(lines[0])) == "completed the mirror with the database's entries 2 to 6"
    assert recovered(mirror=len(lines[0]) + 9) == (
        "cut 9 bytes of an unfinished line from the end of the mirror; "
        "completed the mirror with the database's entries 2 to 6"
    )


def test_a_lost_file_is_made_again(shm: Path) -> None:
    for lost in (["ledger.sqlite.mirror"], ["ledger.sqlite", "ledger.sqlite-wal"]):
        there = copied(crashed(shm / lost[0]), shm / "lost")
        for name in lost:
            (there / name).unlink()
        with opened(there) as ledger:
            assert charged(ledger) == CHARGED
            assert "completed" in ledger.recovered


@pytest.mark.parametrize("damage", [b"\xff" * 3000, b"not a database"])
def test_a_malformed_database_is_set_aside_and_rebuilt(shm: Path, damage: bytes) -> None:
    there = crashed(shm, checkpointed=True)
    with (there / "ledger.sqlite").open("r+b") as file:
        file.seek(0 if damage.startswith(b"not") else 4096)
        file.write(damage)
    broken = (there / "ledger.sqlite").read_bytes()
    with opened(there) as ledger:
        assert charged(ledger) == CHARGED
        assert "set the malformed database" in ledger.recovered
        ledger.verify()
    assert (there / "ledger.sqlite.damaged-1").read_bytes() == broken, "nothing of it is thrown away"


def test_a_malformed_database_without_a_mirror_is_refused(shm: Path) -> None:
    there = crashed(shm, checkpointed=True)
    (there / "ledger.sqlite.mirror").unlink()
    with (there / "ledger.sqlite").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(LedgerError, match="its mirror holds less"):
        opened(there)
    with pytest.raises(LedgerError, match="its mirror holds less"):
        opened(there)


def test_zeros_at_the_end_of_the_mirror_are_an_unfinished_line(shm: Path) -> None:
    there = crashed(shm)
    with (there / "ledger.sqlite.mirror").open("ab") as file:
        file.write(b'{"hash":"00' + b"\0" * 300)
    with opened(there) as ledger:
        assert charged(ledger) == CHARGED
        assert ledger.recovered.startswith("cut 311 bytes")


def lowered(content: bytes) -> bytes:
    """The mirror after somebody has made the first commit cheaper, without minding the hashes."""
    assert content.count(b'"cost":{"steps":3}') == 2
    head, tail = content.rsplit(b'"cost":{"steps":3}', 1)
    return head + b'"cost":{"steps":1}' + tail


def without_line(number: int) -> Callable[[bytes], bytes]:
    return lambda content: b"".join(line for n, line in enumerate(content.splitlines(True), 1) if n != number)


@pytest.mark.parametrize("alter", [lowered, without_line(2), without_line(1)])
def test_an_altered_mirror_is_refused_and_nothing_is_spent(shm: Path, alter: Callable[[bytes], bytes]) -> None:
    there = crashed(shm)
    mirror = there / "ledger.sqlite.mirror"
    altered = alter(mirror.read_bytes())
    mirror.write_bytes(altered)
    with pytest.raises(LedgerError, match="of the ledger's mirror was altered"):
        opened(there)
    assert mirror.read_bytes() == altered
    mirror.unlink()
    with opened(there) as ledger:
        assert charged(ledger) == CHARGED, "what the message says helps"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET line = replace(line, '\"steps\":3', '\"steps\":1') WHERE seq = 3",
        "DELETE FROM entries WHERE seq = 3",
    ],
)
def test_an_altered_database_is_refused_and_nothing_is_spent(shm: Path, statement: str) -> None:
    there = crashed(shm)
    with sqlite3.connect(there / "ledger.sqlite") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        assert database.execute(statement).rowcount == 1
    database.close()
    with pytest.raises(LedgerError, match="Entry 3 of the ledger's database was altered"):
        opened(there)
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (there / name).unlink(missing_ok=True)
    with opened(there) as ledger:
        assert charged(ledger) == CHARGED, "what the message says helps"


def test_two_histories_contradict_each_other(shm: Path) -> None:
    source = crashed(shm)
    for name, steps in (("one", 1), ("other", 2)):
        with opened(copied(source, shm / name)) as ledger:
            pay(ledger, "d", steps)
    shutil.copyfile(shm / "one" / "ledger.sqlite.mirror", shm / "other" / "ledger.sqlite.mirror")
    with pytest.raises(LedgerError, match="contradict each other at entry 7"):
        opened(shm / "other")


def test_files_that_change_while_the_ledger_is_open(shm: Path) -> None:
    ledger = opened(shm)
    pay(ledger, "a", 3)
    with (shm / "ledger.sqlite.mirror").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(LedgerError, match="mirror was cut while it was open"):
        reserve(ledger, "b", 1)
    with pytest.raises(LedgerError, match="can no longer be used"):
        ledger.close()
    with opened(shm) as ledger:
        assert charged(ledger) == 3
        (shm / "ledger.sqlite.mirror").rename(shm / "elsewhere")
        with pytest.raises(LedgerError, match="moved or rebuilt"):
            reserve(ledger, "b", 1)
        (shm / "elsewhere").rename(shm / "ledger.sqlite.mirror")
        with pytest.raises(LedgerError, match="moved or rebuilt"):
            ledger.close()


def test_an_unfinished_line_of_a_dead_writer_is_cut_by_the_next_one(shm: Path) -> None:
    with opened(shm) as ledger:
        pay(ledger, "a", 3)
        with (shm / "ledger.sqlite.mirror").open("ab") as file:
            file.write(b'{"hash":"0123')
        pay(ledger, "b", 2)
        assert charged(ledger) == 5
        ledger.verify()


def test_verify_finds_what_was_altered_while_the_ledger_is_open(shm: Path) -> None:
    with opened(shm) as ledger:
        pay(ledger, "a", 3)
        content = (shm / "ledger.sqlite.mirror").read_bytes()
        with (shm / "ledger.sqlite.mirror").open("r+b") as file:
            file.write(content.replace(b'"steps":3', b'"steps":1'))
        with pytest.raises(LedgerError, match="mirror was altered"):
            ledger.verify()
        with (shm / "ledger.sqlite.mirror").open("r+b") as file:
            file.write(content)
        assert ledger.verify() == 3
