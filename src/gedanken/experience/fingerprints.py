"""Which transitions are there twice, exactly or nearly, in memory of some bytes a transition."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from gedanken.experience.rows import Rows
from gedanken.experience.schema import Schema


def exact_fingerprints(schema: Schema, rows: Rows) -> np.ndarray:
    """[N] uint64, equal where observation, action, reward, termination and next observation are equal byte for byte."""
    values = rows.values
    parts = [
        np.ascontiguousarray(values[name]).reshape(len(rows), -1).view(np.uint8) for name in ("reward", "terminated")
    ]
    for name, column in (
        ("observation", schema.observation),
        ("action", schema.action),
        ("next_observation", schema.observation),
    ):
        plain = _of_texts(rows, name) if column.encoding == "json" else np.ascontiguousarray(values[name])
        parts.append(plain.reshape(len(rows), -1).view(np.uint8))
    return _hashed(np.concatenate(parts, axis=1))


def near_fingerprints(standardised: np.ndarray, tolerance: float) -> np.ndarray:
    """[2, N] uint64 of [N, D] vectors: in each of two grids, equal where two vectors lie in the same cell.

    The cells are `tolerance` wide and the grids shifted by half a cell, so of two vectors that are far closer than the
    tolerance hardly any pair is parted by a border in both.
    """
    scaled = standardised / tolerance
    return np.stack([_hashed(np.floor(scaled + shift).view(np.uint8)) for shift in (0.0, 0.5)])


def repeats(fingerprints: np.ndarray) -> np.ndarray:
    """[N] bool: whether an earlier one is the same."""
    mask = np.full(len(fingerprints), True)
    mask[np.unique(fingerprints, return_index=True)[1]] = False
    return mask


def distinct_values(parts: Sequence[np.ndarray]) -> int:
    """How many different fingerprints there are."""
    return len(np.unique(np.concatenate(parts)))


def value_fingerprints(rows: Rows, name: str, *, texts: bool) -> np.ndarray:
    """[N] uint64 of one observation or action field."""
    if texts:
        return _of_texts(rows, name)
    return _hashed(np.ascontiguousarray(rows.values[name]).reshape(len(rows), -1).view(np.uint8))


def _of_texts(rows: Rows, name: str) -> np.ndarray:
    digests = [blake2b(text.encode(), digest_size=8).digest() for text in rows.heap.texts(rows.values[name])]
    return np.frombuffer(b"".join(digests), np.uint64)


def _hashed(content: np.ndarray) -> np.ndarray:
    """[N, B] bytes -> [N] uint64."""
    width, flat = content.shape[1], content.tobytes()
    digests = [blake2b(flat[at : at + width], digest_size=8).digest() for at in range(0, len(flat), width)]
    return np.frombuffer(b"".join(digests), np.uint64)
