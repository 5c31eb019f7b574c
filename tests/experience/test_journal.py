from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import StoreError
from gedanken.experience import journal as module
from gedanken.experience.journal import EVENTS, STEPS, Journal, frame_bytes, frames_behind, read_frames

PAYLOADS = [b"", b"one", b"GDJ1" * 3, os.urandom(100), b"\0" * 40]
FRAMES = [frame_bytes(STEPS if at % 2 else EVENTS, at * 10, payload) for at, payload in enumerate(PAYLOADS)]


def read(path, offset=0):
    with path.open("rb") as file:
        return [(frame.kind, frame.row, frame.payload) for frame in read_frames(file, offset)]


def expected(count):
    return [(STEPS if at % 2 else EVENTS, at * 10, payload) for at, payload in enumerate(PAYLOADS[:count])]


def test_cut_at_every_byte_the_longest_verified_prefix_is_read(tmp_path):
    whole, path = b"".join(FRAMES), tmp_path / "journal"
    ends = [sum(map(len, FRAMES[: count + 1])) for count in range(len(FRAMES))]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert read(path) == expected(sum(end <= size for end in ends)), size


def test_with_any_byte_changed_exactly_the_frames_before_it_are_read(tmp_path):
    whole, path = b"".join(FRAMES), tmp_path / "journal"
    ends = [sum(map(len, FRAMES[: count + 1])) for count in range(len(FRAMES))]
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x41
        path.write_bytes(changed)
        assert read(path) == expected(sum(end <= at for end in ends)), at


@given(st.binary(max_size=200), st.integers(0, len(FRAMES)))
def test_rubbish_behind_whole_frames_is_never_read(tmp_path_factory, rubbish, count):
    path = tmp_path_factory.mktemp("journal") / "journal"
    path.write_bytes(b"".join(FRAMES[:count]) + rubbish)
    assert read(path) == expected(count)


def test_frames_behind_damage_are_counted_and_a_torn_tail_has_none(tmp_path):
    path = tmp_path / "journal"
    for damage, verified, behind in ((1, 0, 4), (len(FRAMES[0]) + 5, 1, 3)):
        changed = bytearray(b"".join(FRAMES))
        changed[damage] ^= 1
        path.write_bytes(changed)
        with path.open("rb") as file:
            assert frames_behind(file, sum(map(len, FRAMES[:verified]))) == behind
    path.write_bytes(b"".join(FRAMES[:4]) + FRAMES[4][:-1])
    with path.open("rb") as file:
        assert frames_behind(file, sum(map(len, FRAMES[:4]))) == 0


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "journal").touch()
    opened = Journal(tmp_path / "journal", 0)
    yield opened
    opened.close()


def test_append_returns_only_after_the_whole_frame_is_synced(journal, monkeypatch):
    synced = []
    real = module.sync

    def sync(handle):
        synced.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(module, "sync", sync)
    journal.append(STEPS, 0, b"payload")
    assert synced == [journal.size] == [journal.path.stat().st_size]


def test_the_disk_may_take_a_frame_in_small_pieces(journal, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(module.os, "pwrite", lambda handle, content, at: real(handle, content[:7], at))
    journal.append(STEPS, 5, b"x" * 100)
    assert read(journal.path) == [(STEPS, 5, b"x" * 100)]


@pytest.mark.parametrize(("fails", "taken"), [("pwrite", 0), ("pwrite", 11), ("sync", None)])
def test_a_full_disk_leaves_nothing_half_written_and_the_same_can_be_appended_again(journal, monkeypatch, fails, taken):
    real_write, real_sync, failed = os.pwrite, module.sync, []

    def pwrite(handle, content, at):
        real_write(handle, content[:taken], at)
        failed.append("pwrite")
        raise OSError(errno.ENOSPC, "No space left on device")

    def sync(handle):  # refuses the frame, not the cut that follows
        if failed:
            return real_sync(handle)
        failed.append("sync")
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    journal.append(EVENTS, 0, b"before")
    with monkeypatch.context() as patch:
        patch.setattr(*((module.os, "pwrite", pwrite) if fails == "pwrite" else (module, "sync", sync)))
        with pytest.raises(StoreError, match="nothing of it was stored"):
            journal.append(STEPS, 0, b"after")
    assert failed == [fails]
    assert not journal.broken and journal.path.stat().st_size == journal.size
    assert read(journal.path) == [(EVENTS, 0, b"before")]
    journal.append(STEPS, 0, b"after")
    assert read(journal.path) == [(EVENTS, 0, b"before"), (STEPS, 0, b"after")]


def test_an_interrupt_in_the_middle_leaves_nothing_half_written(journal, monkeypatch):
    real = os.pwrite

    def pwrite(handle, content, at):
        real(handle, content[:9], at)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "pwrite", pwrite)
        with pytest.raises(KeyboardInterrupt):
            journal.append(STEPS, 0, b"payload")
    assert journal.path.stat().st_size == 0 and not journal.broken


def test_a_disk_that_refuses_the_cut_too_breaks_the_journal(journal, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module, "sync", refuse)
        with pytest.raises(StoreError):
            journal.append(STEPS, 0, b"payload")
    assert journal.broken


def test_opening_cuts_to_the_verified_size(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(FRAMES[1] + FRAMES[2][:-3])
    journal = Journal(path, len(FRAMES[1]))
    journal.append(STEPS, 11, b"next")
    journal.close()
    journal.close()
    assert read(path) == [(STEPS, 10, b"one"), (STEPS, 11, b"next")]


def test_a_record_too_large_for_its_length_field_is_refused(journal, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_PAYLOAD", 10)
    with pytest.raises(StoreError, match="several parts"):
        journal.append(STEPS, 0, b"x" * 11)
    assert journal.size == 0
