"""Transitions as rows of one fixed width, so that any of them can be fetched without reading the others.

Parquet is the record of what happened, but to fetch one row it must decode a whole page. So beside every sealed Parquet
segment lies a row file: the same transitions as a numpy structured array, one row after the other, behind them a heap
with the texts that rows point to. It is derived and can be deleted; it is made again when it is needed.
"""

from __future__ import annotations

import json
import os
import struct
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gedanken.errors import StoreError
from gedanken.experience.columns import Column
from gedanken.experience.files import Writable, publish
from gedanken.experience.schema import SOURCES, Schema

# A row file begins with this: magic, and the size of the JSON header, padded so that rows begin at a multiple of 64.
_PREFIX = struct.Struct("<8sQ")
_MAGIC = b"GDROWS01"


def row_dtype(schema: Schema, resources: int) -> np.dtype[Any]:
    """What one row holds. Wide fields first, so that none lies across its natural boundary."""
    return np.dtype(
        [
            ("reward", "<f8"),
            ("duration_ms", "<f8"),
            ("log_probability", "<f8"),
            ("cost", "<i8", (resources,)),
            ("observation", *schema.observation.row_type),
            ("next_observation", *schema.observation.row_type),
            ("action", *schema.action.row_type),
            ("episode", "<i4"),
            ("step", "<i4"),
            ("model", "<i4"),  # a position in `models`, -1 for none
            ("source", "u1"),  # a position in SOURCES
            ("terminated", "?"),
            ("truncated", "?"),
        ]
    )


class Heap(Protocol):
    """Where the texts lie that rows point to."""

    def texts(self, pointers: np.ndarray) -> list[str]:
        """The texts at [N] pointers (see `gedanken.experience.columns.POINTER`)."""


@dataclass(frozen=True)
class Rows:
    """Some rows, and what their codes stand for."""

    values: np.ndarray
    heap: Heap
    resources: tuple[str, ...]
    models: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def column(self, column: Column, name: str) -> np.ndarray:
        """The values of one observation or action field, [N, *shape], texts decoded."""
        values: np.ndarray = self.values[name]
        return column.decode(self.heap.texts(values)) if column.encoding == "json" else values

    def where(self, mask: np.ndarray) -> Rows:
        """The rows that `mask` (or an array of positions) names."""
        return replace(self, values=self.values[mask])


@dataclass(frozen=True)
class MemoryHeap:
    """Texts in memory."""

    content: bytes

    def texts(self, pointers: np.ndarray) -> list[str]:
        ends = pointers["at"] + pointers["size"]
        return [self.content[at:end].decode() for at, end in zip(pointers["at"].tolist(), ends.tolist(), strict=True)]


class OpenFile:
    """A file that is read at any place and by any thread.

    The first `MOST_OPEN` stay open for as long as they are used, since opening takes longer than reading a row; a store
    of more segments opens the others for each look.
    """

    MOST_OPEN = 256
    _open = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        if OpenFile._open < self.MOST_OPEN:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            OpenFile._open += 1
            weakref.finalize(self, OpenFile._close, self._handle)

    @contextmanager
    def handle(self) -> Iterator[int]:
        """What `os.pread` takes."""
        if self._handle is not None:
            yield self._handle
            return
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield handle
        finally:
            os.close(handle)

    @staticmethod
    def _close(handle: int) -> None:
        os.close(handle)
        OpenFile._open -= 1


@dataclass(frozen=True)
class FileHeap:
    """Texts in a file, from byte `start` on."""

    file: OpenFile
    start: int

    def texts(self, pointers: np.ndarray) -> list[str]:
        where = zip(pointers["at"].tolist(), pointers["size"].tolist(), strict=True)
        with self.file.handle() as handle:
            return [os.pread(handle, size, self.start + at).decode() for at, size in where]


class Chunk(Protocol):
    """A run of rows of the store that never changes: a sealed segment, or a part of the journal's tail."""

    @property
    def start(self) -> int:
        """The store's number of the first row."""

    @property
    def stop(self) -> int:
        """The store's number behind the last row."""

    @property
    def none(self) -> Rows:
        """No row, laid out as the chunk's rows are."""

    def read(self, first: int, last: int) -> Rows:
        """Rows `first` to `last` (not included), counted from the chunk's start."""

    def take(self, positions: np.ndarray) -> bytes:
        """The bytes of the rows at these positions, counted from the chunk's start."""


@dataclass(frozen=True, eq=False)
class MemoryChunk:
    """Rows in memory."""

    start: int
    rows: Rows

    @property
    def stop(self) -> int:
        return self.start + len(self.rows)

    @property
    def none(self) -> Rows:
        return self.read(0, 0)

    def read(self, first: int, last: int) -> Rows:
        return replace(self.rows, values=self.rows.values[first:last])

    def take(self, positions: np.ndarray) -> bytes:
        content: bytes = self.rows.values[positions].tobytes()
        return content


@dataclass(frozen=True, eq=False)
class FileChunk:
    """Rows in a row file, from byte `offset` on.

    Reading copies with `pread` and does not map the file: mapped pages would count as this process's memory for as long
    as nobody else wants it, and a sampler would own the whole store after a while.
    """

    start: int
    stop: int
    file: OpenFile
    offset: int
    none: Rows

    def read(self, first: int, last: int) -> Rows:
        width = self.none.values.dtype.itemsize
        with self.file.handle() as handle:
            content = os.pread(handle, (last - first) * width, self.offset + first * width)
        self._check(content, last - first)
        return replace(self.none, values=np.frombuffer(content, self.none.values.dtype))

    def take(self, positions: np.ndarray) -> bytes:
        width = self.none.values.dtype.itemsize
        offsets = (self.offset + positions.astype(np.int64) * width).tolist()
        with self.file.handle() as handle:
            content = b"".join(map(os.pread, repeat(handle), repeat(width), offsets))
        self._check(content, len(offsets))
        return content

    def _check(self, content: bytes, rows: int) -> None:
        if len(content) != rows * self.none.values.dtype.itemsize:
            raise StoreError(
                f"The row file {self.file.path.name} became shorter while it was read.",
                given=f"{len(content)} bytes",
                expected=f"{rows} rows of {self.none.values.dtype.itemsize} bytes",
                do="delete it: it is made again from the Parquet segment beside it.",
            )


def lay_out(schema: Schema, steps: pa.RecordBatch, ordinals: Mapping[str, int]) -> Rows:
    """Arrow rows of `schema.steps` as fixed-width rows. `ordinals` gives each episode id its position in the store."""
    costs, resources = _lay_out_costs(steps.column("cost"))
    models = steps.column("model_id").dictionary_encode()
    episodes = steps.column("episode_id").dictionary_encode()
    values = np.zeros(len(steps), row_dtype(schema, len(resources)))
    for name in ("reward", "step"):
        values[name] = steps.column(name).to_numpy()
    for name in ("terminated", "truncated"):
        values[name] = steps.column(name).to_numpy(zero_copy_only=False)
    for name in ("duration_ms", "log_probability"):
        values[name] = pc.fill_null(steps.column(name), float("nan")).to_numpy()
    values["cost"] = costs
    values["source"] = pc.index_in(steps.column("source"), pa.array(SOURCES)).to_numpy()
    values["model"] = pc.fill_null(models.indices, -1).to_numpy()
    named = np.array([ordinals[name] for name in episodes.dictionary.to_pylist()], np.int32)
    values["episode"] = named[episodes.indices.to_numpy()]
    heap: list[bytes] = []
    for name, column in (
        ("observation", schema.observation),
        ("next_observation", schema.observation),
        ("action", schema.action),
    ):
        array = steps.column(name)
        if column.encoding == "array":
            values[name] = array.flatten().to_numpy().reshape(len(steps), *column.shape)
        elif column.encoding == "integer":
            values[name] = array.to_numpy()
        else:
            _lay_out_texts(array, values[name], heap)
    return Rows(values, MemoryHeap(b"".join(heap)), resources, tuple(models.dictionary.to_pylist()))


def write_row_file(path: Path, rows: Rows) -> None:
    """Writes rows whose texts lie in memory.

    Raises:
        OSError: the disk refused; no file was left behind.
    """
    assert isinstance(rows.heap, MemoryHeap)
    heap = rows.heap.content
    described = {"count": len(rows), "resources": rows.resources, "models": rows.models, "heap": len(heap)}
    header = json.dumps({**described, "row_bytes": rows.values.dtype.itemsize}).encode()
    header += b" " * (-(_PREFIX.size + len(header)) % 64)

    def write(file: Writable) -> None:
        file.write(_PREFIX.pack(_MAGIC, len(header)) + header)
        file.write(rows.values.tobytes())
        file.write(heap)

    publish(path, write, label="seal.rows")


def open_row_file(path: Path, schema: Schema, start: int, stop: int) -> FileChunk | None:
    """The row file of rows `start` to `stop`, or None where it is missing or not what it should be."""
    try:
        with path.open("rb") as file:
            magic, size = _PREFIX.unpack(file.read(_PREFIX.size))
            header = json.loads(file.read(size)) if magic == _MAGIC and size < 2**24 else {}
            total = os.fstat(file.fileno()).st_size
        dtype = row_dtype(schema, len(header["resources"]))
        offset = _PREFIX.size + size
        expected = offset + (stop - start) * dtype.itemsize + header["heap"]
        if (header["count"], header["row_bytes"], total) != (stop - start, dtype.itemsize, expected):
            return None
    except (FileNotFoundError, struct.error, ValueError, KeyError, TypeError):
        return None
    opened = OpenFile(path)
    heap = FileHeap(opened, offset + (stop - start) * dtype.itemsize)
    none = Rows(np.zeros(0, dtype), heap, tuple(header["resources"]), tuple(header["models"]))
    return FileChunk(start, stop, opened, offset, none)


def no_rows(schema: Schema) -> Rows:
    """No row at all, of the right layout."""
    return Rows(np.zeros(0, row_dtype(schema, 0)), MemoryHeap(b""), (), ())


def _lay_out_costs(costs: pa.MapArray) -> tuple[np.ndarray, tuple[str, ...]]:
    """[N, R] int64, and the names of the R resources."""
    offsets = costs.offsets.to_numpy()
    inside = slice(int(offsets[0]), int(offsets[-1])) if len(offsets) else slice(0, 0)
    keys = costs.keys[inside].dictionary_encode()
    resources = tuple(keys.dictionary.to_pylist())
    amounts = np.zeros((len(costs), len(resources)), np.int64)
    rows = np.repeat(np.arange(len(costs)), np.diff(offsets))
    amounts[rows, keys.indices.to_numpy()] = costs.items[inside].to_numpy()
    return amounts, resources


def _lay_out_texts(texts: pa.Array, pointers: np.ndarray, heap: list[bytes]) -> None:
    """Puts the texts behind what is in the heap, and where they lie into `pointers`, in place."""
    taken = sum(map(len, heap))
    sizes = pc.binary_length(texts).to_numpy()
    pointers["size"] = sizes
    pointers["at"] = taken + np.concatenate([[0], np.cumsum(sizes[:-1])])[: len(sizes)]
    heap.extend(_utf8(texts))


def _utf8(texts: pa.Array) -> Sequence[bytes]:
    """The bytes of all texts, in one piece."""
    if not len(texts):
        return []
    _, offsets, content = texts.buffers()
    first, last = np.frombuffer(offsets, np.int64)[[texts.offset, texts.offset + len(texts)]]
    return [content[int(first) : int(last)].to_pybytes()] if content is not None else []
