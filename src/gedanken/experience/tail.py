"""The rows that lie only in the journal, held in memory as few Arrow batches however many appends made them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from gedanken.experience.rows import MemoryChunk, lay_out
from gedanken.experience.schema import Schema

_PENDING = 64


class Tail:
    """Rows `start` to `stop` of the steps or of the events.

    Batches are merged like a binary counter: each stays at least twice as long as the one behind it, so there are few,
    and a row is copied a logarithmic number of times.
    """

    def __init__(self, schema: pa.Schema, start: int) -> None:
        self.schema, self.start, self.stop = schema, start, start
        self._batches: list[pa.RecordBatch] = []
        self._pending: list[pa.RecordBatch] = []
        self._chunks: dict[tuple[int, int], MemoryChunk] = {}

    def __len__(self) -> int:
        return self.stop - self.start

    def add(self, batch: pa.RecordBatch) -> None:
        """Puts a batch behind the others."""
        self._pending.append(batch)
        self.stop += len(batch)
        if len(self._pending) >= _PENDING:
            self._settle()

    def table(self) -> pa.Table:
        """All rows."""
        self._settle()
        return pa.Table.from_batches(self._batches, self.schema)

    def chunks(self, schema: Schema, ordinals: Mapping[str, int]) -> list[MemoryChunk]:
        """All rows, laid out to be fetched at random. What was laid out before is not done again."""
        self._settle()
        laid_out: dict[tuple[int, int], MemoryChunk] = {}
        start = self.start
        for batch in self._batches:
            key = (start, len(batch))
            laid_out[key] = self._chunks.get(key) or MemoryChunk(start, lay_out(schema, batch, ordinals))
            start += len(batch)
        self._chunks = laid_out
        return list(laid_out.values())

    def _settle(self) -> None:
        if self._pending:
            self._batches.append(_joined(self._pending))
            self._pending = []
        while len(self._batches) > 1 and len(self._batches[-2]) < 2 * len(self._batches[-1]):
            self._batches[-2:] = [_joined(self._batches[-2:])]


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.concat_batches(batches) if len(batches) > 1 else batches[0]
