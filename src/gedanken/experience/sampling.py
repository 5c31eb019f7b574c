"""Drawing rows at random: only the drawn ones are read, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gedanken.experience.reading import blocks
from gedanken.experience.rows import Chunk, Rows

Mask = Callable[[Rows], np.ndarray]
"""Which rows are wanted: [N] bool for N rows."""


class _Found(NamedTuple):
    """The wanted rows of a chunk: how many, where (None: all of them), and whose rows may lie beside them."""

    total: int
    positions: np.ndarray | None
    layout: object


class Sampler:
    """Draws among the wanted rows of chunks. Which those are is found out once a chunk, since chunks never change.

    Where all rows of a chunk are wanted only their number is kept, otherwise 4 bytes for each one that is.
    """

    def __init__(self, wanted: Mask) -> None:
        self._wanted = wanted
        self._found: dict[Chunk, _Found] = {}

    def draw(self, chunks: Sequence[Chunk], n: int, rng: np.random.Generator) -> list[tuple[np.ndarray, Rows]]:
        """`n` rows, uniformly and with replacement, as pieces of (which of the draws these are, their rows).

        No pieces come back where no row is wanted.
        """
        found = self._found
        self._found = {chunk: found[chunk] if chunk in found else self._find(chunk) for chunk in chunks}
        behind = np.cumsum([self._found[chunk].total for chunk in chunks], dtype=np.int64)
        if not len(behind) or behind[-1] == 0:
            return []
        draws = rng.integers(0, behind[-1], n)
        order = np.argsort(draws)
        ordered = draws[order]
        # Rows of the same layout are put together as plain bytes and made an array once: most chunks have the same.
        groups: dict[object, tuple[Chunk, list[np.ndarray], list[bytes]]] = {}
        first = 0
        for chunk, last, until in zip(chunks, np.searchsorted(ordered, behind).tolist(), behind.tolist(), strict=True):
            if last > first:
                total, positions, layout = self._found[chunk]
                local = ordered[first:last] - (until - total)
                _, places, contents = groups.setdefault(layout, (chunk, [], []))
                places.append(order[first:last])
                contents.append(chunk.take(local if positions is None else positions[local]))
                first = last
        return [
            (
                np.concatenate(places),
                replace(chunk.none, values=np.frombuffer(b"".join(contents), chunk.none.values.dtype)),
            )
            for chunk, places, contents in groups.values()
        ]

    def _find(self, chunk: Chunk) -> _Found:
        parts = [
            np.flatnonzero(self._wanted(rows)).astype(np.uint32) + np.uint32(first - chunk.start)
            for first, rows in blocks([chunk], chunk.start, chunk.stop)
        ]
        positions = np.concatenate(parts) if parts else np.empty(0, np.uint32)
        everything = len(positions) == chunk.stop - chunk.start
        return _Found(len(positions), None if everything else positions, _layout(chunk))


def _layout(chunk: Chunk) -> object:
    """Equal for chunks whose rows may lie in one array; rows that point to texts stay with their own heap."""
    none = chunk.none
    texts = any(none.values.dtype[name].names for name in ("observation", "action"))
    return chunk if texts else none.resources
