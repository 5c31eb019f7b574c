"""A folder for a program to work in, which can be removed whatever the program has left there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is there for a while. `tempfile`'s own gives up where folders are nested a thousand deep."""
    folder = Path(tempfile.mkdtemp(prefix="gedanken-"))
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, and follows no link."""
    at, names = os.open(folder, _FLAGS), list[str]()
    try:
        left = [_emptied(at)]
        while left[-1] or names:
            if left[-1]:
                names.append(left[-1].pop())
                os.chmod(names[-1], 0o700, dir_fd=at)
                at = _moved(at, names[-1])
                left.append(_emptied(at))
            else:
                at = _moved(at, "..")
                os.rmdir(names.pop(), dir_fd=at)
                left.pop()
    finally:
        os.close(at)
    os.rmdir(folder)


def _emptied(at: int) -> list[str]:
    """Removes all but the folders; the names of these."""
    with os.scandir(at) as entries:
        found = list(entries)
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=at)
    return [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]


def _moved(at: int, where: str) -> int:
    """Another folder instead of this one: one is open at a time, since there may be more than can be."""
    there = os.open(where, _FLAGS, dir_fd=at)
    os.close(at)
    return there
