from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gedanken.errors import FileError, StoreError
from gedanken.experience import files
from gedanken.experience.files import WriterLock, publish, write_text


def test_a_file_is_synced_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files, "sync", lambda handle: calls.append("file"))
    monkeypatch.setattr(files.os, "replace", lambda old, new: calls.append("name"))
    monkeypatch.setattr(files, "sync_folder", lambda folder: calls.append("folder"))
    publish(tmp_path / "x", lambda file: file.write(b"1"), label="test")
    assert calls == ["file", "name", "folder"]


@pytest.mark.parametrize("fails", ["write", "sync", "replace"])
def test_a_failure_leaves_what_was_there_and_no_rubbish(tmp_path, monkeypatch, fails):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    write_text(tmp_path / "x", "old")
    write = refuse if fails == "write" else (lambda file: file.write(b"new"))
    if fails == "sync":
        monkeypatch.setattr(files, "sync", refuse)
    if fails == "replace":
        monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        publish(tmp_path / "x", write, label="test")
    assert os.listdir(tmp_path) == ["x"] and (tmp_path / "x").read_text() == "old"


def test_a_name_that_may_not_last_is_taken_back_unless_it_replaced_another(tmp_path, monkeypatch):
    def refuse(folder):
        raise OSError(5, "Input/output error")

    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(files, "sync_folder", refuse)
    for name in ("new", "old"):
        with pytest.raises(OSError, match="Input/output"):
            publish(tmp_path / name, lambda file: file.write(b"1"), label="test")
    assert os.listdir(tmp_path) == ["old"]


def test_write_text_says_in_words_what_the_disk_refuses(tmp_path):
    with pytest.raises(FileError, match="could not be written"):
        write_text(tmp_path / "missing" / "x", "1")


def test_a_lock_is_free_again_when_released_or_when_its_holder_died(tmp_path):
    lock = WriterLock(tmp_path / "lock")
    with pytest.raises(StoreError, match="one writer at a time"):
        WriterLock(tmp_path / "lock")
    lock.release()
    lock.release()
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom gedanken.experience.files import WriterLock\n"
        "held = WriterLock(Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="somebody else"):
            WriterLock(tmp_path / "lock")
        holder.kill()
        holder.wait()
    WriterLock(tmp_path / "lock").release()
