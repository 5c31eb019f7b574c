"""Reading rows out of chunks, in order or at random, in memory that is bounded by a block and not by the store."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gedanken.experience.rows import Chunk, Rows, no_rows
from gedanken.experience.schema import Schema, TransitionArrays

BLOCK_BYTES = 4 * 2**20

_PLAIN = ("reward", "terminated", "truncated", "episode", "step", "duration_ms", "log_probability")

Mask = Callable[[Rows], np.ndarray]
"""Which rows are wanted: [N] bool for N rows."""


def blocks(chunks: Sequence[Chunk], start: int, stop: int) -> Iterator[tuple[int, Rows]]:
    """The rows `start` to `stop` in order, as (number of the first, rows), at most about `BLOCK_BYTES` at a time."""
    for chunk in chunks[bisect.bisect_right(chunks, start, key=lambda chunk: chunk.stop) :]:
        if chunk.start >= stop:
            return
        size = max(1, BLOCK_BYTES // chunk.width)
        for first in range(max(start, chunk.start), min(stop, chunk.stop), size):
            last = min(first + size, stop, chunk.stop)
            yield first, chunk.read(first - chunk.start, last - chunk.start)


class Eligible:
    """Which rows of which chunk may be sampled. Counted once a chunk; sealed chunks never change.

    Where all rows of a chunk are wanted only their number is kept, otherwise 4 bytes for each one that is.
    """

    def __init__(self, wanted: Mask) -> None:
        self._wanted = wanted
        self._counted: dict[Chunk, tuple[int, np.ndarray | None]] = {}

    def draw(self, chunks: Sequence[Chunk], n: int, rng: np.random.Generator) -> list[tuple[np.ndarray, Rows]]:
        """`n` rows, uniformly and with replacement, as pieces of (which of the draws these are, their rows).

        No pieces come back where no row is wanted.
        """
        counted = self._counted
        self._counted = {chunk: counted[chunk] if chunk in counted else self._count(chunk) for chunk in chunks}
        behind = np.cumsum([self._counted[chunk][0] for chunk in chunks], dtype=np.int64)
        if not len(behind) or behind[-1] == 0:
            return []
        draws = rng.integers(0, behind[-1], n)
        order = np.argsort(draws)
        ends = np.searchsorted(draws[order], behind).tolist()
        pieces, first = [], 0
        for chunk, last, until in zip(chunks, ends, behind.tolist(), strict=True):
            if last > first:
                places, (count, positions) = order[first:last], self._counted[chunk]
                local = draws[places] - (until - count)
                pieces.append((places, chunk.take(local if positions is None else positions[local])))
                first = last
        return pieces

    def _count(self, chunk: Chunk) -> tuple[int, np.ndarray | None]:
        found = [
            np.flatnonzero(self._wanted(rows)).astype(np.uint32) + np.uint32(first - chunk.start)
            for first, rows in blocks([chunk], chunk.start, chunk.stop)
        ]
        positions = np.concatenate(found) if found else np.empty(0, np.uint32)
        everything = len(positions) == chunk.stop - chunk.start
        return len(positions), None if everything else positions


class Assembly:
    """Columns with room for `room` transitions, filled piece by piece."""

    def __init__(self, schema: Schema, room: int, *, float32: bool) -> None:
        """With `float32`, every column of floating-point numbers is made of float32."""
        self._schema, self._room, self._float32 = schema, room, float32
        self._columns: dict[str, np.ndarray] = {}
        self._costs: dict[str, np.ndarray] = {}
        self.put(slice(0, 0), no_rows(schema))

    def put(self, places: np.ndarray | slice, rows: Rows) -> None:
        """Puts rows at these places."""
        self._put("observation", places, rows.column(self._schema.observation, "observation"))
        self._put("next_observation", places, rows.column(self._schema.observation, "next_observation"))
        self._put("action", places, rows.column(self._schema.action, "action"))
        for name in _PLAIN:
            self._put(name, places, rows.values[name])
        for position, resource in enumerate(rows.resources):
            costs = self._costs.setdefault(resource, np.zeros(self._room, np.int64))
            costs[places] = rows.values["cost"][:, position]

    def finish(self, count: int, *, next_row: int) -> TransitionArrays:
        """The first `count` places."""
        columns = {name: column[:count] for name, column in self._columns.items()}
        costs = {name: self._costs[name][:count] for name in sorted(self._costs)}
        return TransitionArrays(**columns, costs=costs, next_row=next_row)

    def _put(self, name: str, places: np.ndarray | slice, values: np.ndarray) -> None:
        if name not in self._columns:
            dtype = np.dtype(np.float32) if self._float32 and values.dtype.kind == "f" else values.dtype
            # Room that is never filled costs nothing: the system gives zeroed pages when they are first touched.
            self._columns[name] = np.zeros((self._room, *values.shape[1:]), dtype)
        self._columns[name][places] = values


def join(pieces: Sequence[tuple[np.ndarray, Rows]]) -> list[tuple[np.ndarray, Rows]]:
    """Pieces of the same layout and without texts as one: a few big copies instead of many small ones."""
    groups: dict[tuple[object, ...], list[tuple[np.ndarray, Rows]]] = {}
    for number, (places, rows) in enumerate(pieces):
        texts = any(rows.values.dtype[name].names for name in ("observation", "action"))
        groups.setdefault((number,) if texts else rows.resources, []).append((places, rows))
    return [(np.concatenate([places for places, _ in group]), _joined(group)) for group in groups.values()]


def _joined(group: Sequence[tuple[np.ndarray, Rows]]) -> Rows:
    first = group[0][1]
    # As plain bytes: numpy compares the fields of structured rows one by one before it puts them together.
    content = b"".join([rows.values.tobytes() for _, rows in group])
    return Rows(np.frombuffer(content, first.values.dtype), first.heap, first.resources, ())
