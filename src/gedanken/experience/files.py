"""Files that a crash cannot leave half-written: written beside, synced, renamed, and the folder synced too."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gedanken.errors import FileError, StoreError
from gedanken.experience import faults

UNFINISHED = ".unfinished"


class Writable(Protocol):
    """What the content of a file is written through."""

    def write(self, content: bytes, /) -> int: ...


def sync(handle: int) -> None:
    """Returns when what was written to this file is on the disk itself.

    Raises:
        OSError: the disk refused; then nothing is known of what was written since the last sync.
    """
    if sys.platform == "darwin":
        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)  # macOS: fsync alone stops at the drive's cache
    else:
        os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder as durable as the files behind them."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(path: Path, write: Callable[[Writable], object], *, label: str) -> None:
    """Writes a whole file so that it appears under its name at once and complete, or not at all.

    Args:
        path: the final name.
        write: writes the content to the open binary file it is given.
        label: names the kill points on the way: `<label>.written` and `<label>.renamed`.

    Raises:
        OSError: the disk refused; no file was left behind.
    """
    # Two readers may build the same derived file at the same time; each has an unfinished one of its own.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    replaces = path.exists()
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            faults.kill_point(f"{label}.written")
            sync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    faults.kill_point(f"{label}.renamed")
    try:
        sync_folder(path.parent)
    except OSError:
        if not replaces:
            path.unlink(missing_ok=True)  # a name that may not last must not be counted on
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file, replacing what was there before in one step: a reader finds the old or the new.

    Raises:
        FileError: the disk refused; what was there before still is.
    """
    content = text.encode()
    try:
        publish(path, lambda file: file.write(content), label="text")
    except OSError as error:
        raise FileError(
            f"The file {path} could not be written.",
            given=error,
            expected="a writable folder with room for it",
            do="free space or choose another folder.",
        ) from error


class WriterLock:
    """The right to write to a folder: one holder at a time across threads and processes, freed when a process dies."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._handle)
            raise StoreError(
                "This experience is being written by somebody else.",
                given=path.parent,
                expected="one writer at a time",
                do="close the other writer, or open it for reading: Experience.open(path).",
            ) from error

    def release(self) -> None:
        """Lets the next writer in. Safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
