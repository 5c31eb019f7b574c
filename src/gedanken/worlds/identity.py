"""What an action *is*, as an id and a digest: the reason why the same action is never paid for twice."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from gedanken.errors import ConfigError


def digest_of(payload: Any) -> str:
    """The sha256 of a payload, equal for equal payloads on every machine and in every process.

    Arrays count by dtype, shape and bytes, mappings without regard to order, and every value by its type as well,
    so that `1`, `1.0`, `True` and `"1"` differ. Lists and tuples are the same.

    Args:
        payload: None, bool, int, float, str, bytes, numpy arrays and scalars, and lists, tuples and str-keyed
            mappings of these.

    Returns:
        64 hexadecimal digits.

    Raises:
        ConfigError: the payload holds something that has no canonical form.
    """
    digest = hashlib.sha256()
    _feed(digest, payload)
    return digest.hexdigest()


def episode_id(
    *, world: str, run: str, account: str, task: Mapping[str, Any] | None, seed: int | None, index: int
) -> str:
    """Derives an episode's id from what it is: readable in front, exact behind."""
    exact = digest_of({"world": world, "run": run, "account": account, "task": task, "seed": seed, "index": index})
    return f"{account}-{index}-{exact[:16]}"


def unit_id(episode: str, unit_index: int) -> str:
    """The id of one billing unit of an episode, the first being 0."""
    return f"{episode}-u{unit_index}"


def action_id(
    *,
    world: str,
    run: str,
    account: str,
    task: Mapping[str, Any] | None,
    seed: int | None,
    episode_index: int,
    unit_index: int = 0,
) -> str:
    """Derives the id of one paid action, a billing unit of an episode, from what it is."""
    episode = episode_id(world=world, run=run, account=account, task=task, seed=seed, index=episode_index)
    return unit_id(episode, unit_index)


def _feed(digest: Any, value: Any) -> None:
    # Every value is fed as tag, length, bytes: no two different payloads feed the same stream.
    if isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise _no_canonical_form(value)
        _put(digest, b"a", f"{array.dtype.str}{np.shape(value)}".encode())
        _put(digest, b"b", array.tobytes())
    elif value is None:
        _put(digest, b"n", b"")
    elif isinstance(value, bool):
        _put(digest, b"t", b"1" if value else b"0")
    elif isinstance(value, int):
        _put(digest, b"i", str(value).encode())
    elif isinstance(value, float):
        _put(digest, b"f", struct.pack("<d", value))
    elif isinstance(value, str):
        _put(digest, b"s", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes):
        _put(digest, b"b", value)
    elif isinstance(value, list | tuple):
        _put(digest, b"l", str(len(value)).encode())
        for item in value:
            _feed(digest, item)
    elif isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        _put(digest, b"m", str(len(value)).encode())
        for key in sorted(value):
            _feed(digest, key)
            _feed(digest, value[key])
    else:
        raise _no_canonical_form(value)


def _put(digest: Any, tag: bytes, content: bytes) -> None:
    digest.update(tag + len(content).to_bytes(8, "little"))
    digest.update(content)


def _no_canonical_form(value: Any) -> ConfigError:
    return ConfigError(
        "A payload has no canonical form, so its digest would not be the same twice.",
        given=f"{type(value).__name__}: {value!r}"[:200],
        expected="None, bool, int, float, str, bytes, numpy arrays, lists, and mappings with text as keys",
        do="turn it into one of these first.",
    )
