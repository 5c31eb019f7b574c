"""The append journal: one file of framed records, each verified by its length and checksum.

A frame is `magic, kind, first row, payload size, crc32` and then the payload, an Arrow IPC record batch. The checksum
covers the header too. `Journal.append` returns when the frame is on the disk. Whoever reads takes frames from the
front for as long as they verify; what lies behind the last one was never claimed.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from gedanken.errors import StoreError
from gedanken.experience import faults
from gedanken.experience.files import sync

Kind = Literal[b"S", b"E"]
STEPS: Kind = b"S"
EVENTS: Kind = b"E"

_MAGIC = b"GDJ1"
_HEADER = struct.Struct("<4sc3xQII")  # magic, kind, row number of the payload's first row, payload bytes, crc32
_CHECKED = _HEADER.size - 4
LARGEST_PAYLOAD = 2**31


class Frame(NamedTuple):
    """One verified record. `end` is where the next one begins in the file, in bytes."""

    kind: bytes
    row: int
    payload: bytes
    end: int


def frame_bytes(kind: Kind, row: int, payload: bytes) -> bytes:
    """The frame of one record as it lies in the file."""
    header = _HEADER.pack(_MAGIC, kind, row, len(payload), 0)[:_CHECKED]
    return header + struct.pack("<I", zlib.crc32(payload, zlib.crc32(header))) + payload


def read_frames(file: BinaryIO, offset: int = 0) -> Iterator[Frame]:
    """The frames from `offset` on, up to the first that does not verify. Holds one frame in memory at a time."""
    size = os.fstat(file.fileno()).st_size
    while size - offset >= _HEADER.size:
        file.seek(offset)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        magic, kind, row, length, checksum = _HEADER.unpack(header)
        if magic != _MAGIC or length > size - offset - _HEADER.size:
            return
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload, zlib.crc32(header[:_CHECKED])) != checksum:
            return
        offset += _HEADER.size + length
        yield Frame(kind, row, payload, offset)


def frames_behind(file: BinaryIO, offset: int) -> int:
    """How many frames verify somewhere behind bytes that do not: none after a torn write, some where a disk decayed."""
    file.seek(offset)
    rest = file.read()
    count, at = 0, rest.find(_MAGIC, 1)
    while at >= 0:
        ends = [frame.end - offset for frame in read_frames(file, offset + at)]
        count += len(ends)
        at = rest.find(_MAGIC, max([at + 1, *ends]))
    return count


class Journal:
    """A journal file open for appending. `size` is where its verified part ends, in bytes."""

    def __init__(self, path: Path, size: int) -> None:
        """Opens an existing file and cuts it to its first `size` bytes."""
        self.path, self.size = path, size
        self.broken = False
        self._handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if os.fstat(self._handle).st_size != size:
            os.ftruncate(self._handle, size)
            sync(self._handle)

    def append(self, kind: Kind, row: int, payload: bytes) -> None:
        """Writes one record and returns when it is on the disk.

        Raises:
            StoreError: the disk refused. The record is not in the journal; if even that could not be made sure of,
                `broken` is True and the store has to be opened anew.
        """
        if len(payload) > LARGEST_PAYLOAD:
            raise StoreError(
                "These transitions are too many for one append.",
                given=f"{len(payload)} bytes",
                expected=f"at most {LARGEST_PAYLOAD} bytes",
                do="append them in several parts.",
            )
        frame = frame_bytes(kind, row, payload)
        written = False
        try:
            self._write(frame)
            faults.kill_point("append.written")
            sync(self._handle)
            written = True
        except OSError as error:
            raise StoreError(
                "The disk refused to take what happened; nothing of it was stored.",
                given=f"{error} ({self.path.name}, {len(frame)} bytes)",
                expected="a disk that is writable and has room",
                do="free space, then append the same again.",
            ) from error
        finally:
            if not written:
                self._undo()
        self.size += len(frame)
        faults.kill_point("append.synced")

    def close(self) -> None:
        """Closes the file. Safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, frame: bytes) -> None:
        done = 0
        while done < len(frame):
            done += os.pwrite(self._handle, frame[done:], self.size + done)
            faults.kill_point("append.partly")

    def _undo(self) -> None:
        # What was synced before is safe, and a cut that is synced leaves nothing of this record. If the disk refuses
        # the cut as well, only reading the file anew can tell what is there.
        self.broken = True
        try:
            os.ftruncate(self._handle, self.size)
            sync(self._handle)
        except OSError:
            return
        self.broken = False
