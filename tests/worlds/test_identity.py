"""Ids and digests: equal for what is equal, different for what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.worlds.identity import action_id, digest_of, episode_id, unit_id

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def kinds(value: Any) -> Any:
    """A value with the types of everything in it, to compare by: Python holds 1, 1.0 and True for equal."""
    if isinstance(value, list):
        return [kinds(item) for item in value]
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    return (type(value).__name__, repr(value))


@given(plain, plain)
def test_digests_are_equal_exactly_for_equal_payloads(one: Any, other: Any) -> None:
    assert (digest_of(one) == digest_of(other)) == (kinds(one) == kinds(other))


def test_the_digest_is_the_same_in_every_version() -> None:
    payload = {"task": {"goal": [1, 2.5, None]}, "action": np.arange(3, dtype=np.float32), "ok": True}
    assert digest_of(payload) == "fb12ceddafaf18ef161a9cdaee06978c9cdd8407807fcb28b6eec283d9a3e67e"


def test_arrays_count_by_dtype_shape_and_content() -> None:
    array = np.arange(6, dtype=np.float32)
    others = [array.astype(np.float64), array.reshape(2, 3), array[::-1], array.tobytes(), array.tolist(), array + 1]
    assert len({digest_of(value) for value in [array, *others]}) == 7
    assert digest_of(array.reshape(2, 3).T) == digest_of(np.ascontiguousarray(array.reshape(2, 3).T))
    assert digest_of(np.float32(1)) != digest_of(np.float64(1))
    assert digest_of((1, 2)) == digest_of([1, 2])


@pytest.mark.parametrize("payload", [object(), {1: 2}, {"a": {1, 2}}, np.array([object()]), 1j])
def test_what_has_no_canonical_form_is_refused(payload: Any) -> None:
    with pytest.raises(ConfigError, match="no canonical form"):
        digest_of(payload)


def test_ids_are_derived_from_what_the_action_is() -> None:
    what: dict[str, Any] = {"world": "w", "run": "r", "account": "learn", "task": None, "seed": 1, "episode_index": 4}
    others = [{"world": "v"}, {"run": "s"}, {"account": "check"}, {"task": {"goal": 1}}, {"seed": 2}]
    others += [{"episode_index": 5}, {"unit_index": 1}]
    ids = [action_id(**what), *(action_id(**(what | other)) for other in others)]
    assert len(set(ids)) == len(ids)
    episode = episode_id(world="w", run="r", account="learn", task=None, seed=1, index=4)
    assert action_id(**what) == unit_id(episode, 0) == f"{episode}-u0"
    assert episode.startswith("learn-4-")
