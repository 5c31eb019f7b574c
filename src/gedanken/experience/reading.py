"""Reading rows in order, in memory that is bounded by a block and not by the store; and making columns of rows."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

import numpy as np

from gedanken.experience.rows import Chunk, Rows, no_rows
from gedanken.experience.schema import Schema, TransitionArrays

BLOCK_BYTES = 4 * 2**20

_PLAIN = ("reward", "terminated", "truncated", "episode", "step", "duration_ms", "log_probability")


def blocks(chunks: Sequence[Chunk], start: int, stop: int) -> Iterator[tuple[int, Rows]]:
    """The rows `start` to `stop` in order, as (number of the first, rows), at most about `BLOCK_BYTES` at a time."""
    for chunk in chunks[bisect.bisect_right(chunks, start, key=lambda chunk: chunk.stop) :]:
        if chunk.start >= stop:
            return
        size = max(1, BLOCK_BYTES // chunk.none.values.dtype.itemsize)
        for first in range(max(start, chunk.start), min(stop, chunk.stop), size):
            last = min(first + size, stop, chunk.stop)
            yield first, chunk.read(first - chunk.start, last - chunk.start)


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
