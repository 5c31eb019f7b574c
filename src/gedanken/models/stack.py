"""M networks of one shape, asked together: what an ensemble is made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gedanken.models.networks import MLP

BATCHED_ROWS = 128
"""Rows a member, up to which a `Stack` takes one product over all members."""


class Stack(eqx.Module):
    """M networks of one shape, as one whose arrays have a leading axis M.

    With few rows a member, products over all members at once save what each operation costs by itself; with many,
    separate products keep a member's rows in the cache (benchmarks/throughput.py measures both).
    """

    networks: MLP
    count: int = eqx.field(static=True)

    @classmethod
    def of(cls, make: Callable[[Array], MLP], count: int, *, key: Array) -> Stack:
        """`count` networks, each made by `make` with a key of its own."""
        return cls(stacked([make(each) for each in jax.random.split(key, count)]), count)

    def __getitem__(self, index: int) -> MLP:
        """One of the networks."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        one: MLP = jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, self.networks)
        return one

    def __call__(self, x: Array) -> Array:
        """[B, I] -> [M, B, O]: the same rows for every member."""
        if x.shape[0] > BATCHED_ROWS:
            return jnp.stack([self[index](x) for index in range(self.count)])
        answers: Array = eqx.filter_vmap(lambda network: network(x))(self.networks)
        return answers

    def apart(self, x: Array) -> Array:
        """[M, B, I] -> [M, B, O]: rows of its own for each member."""
        if x.shape[1] > BATCHED_ROWS:
            return jnp.stack([self[index](x[index]) for index in range(self.count)])
        answers: Array = eqx.filter_vmap(lambda network, rows: network(rows))(self.networks, x)
        return answers

    def one_each(self, x: Array, key: Array) -> Array:
        """[B, I] -> [B, O], every row from one member (Chua et al. 2018, TS1).

        The batch is rotated by a random offset and cut into M runs whose lengths differ by one at most, one a member:
        each row's member is uniform and drawn anew at every call, and each member works on one contiguous block.
        """
        batch = x.shape[0]
        if batch < 2 * self.count:
            pick = jax.random.randint(key, (1, batch, 1), 0, self.count)
            return jnp.take_along_axis(self(x), pick, 0)[0]
        # (`jax.random.randint` takes four times as long, which small batches notice.)
        offset = jax.random.bits(key) % batch
        rows = _rotate(x, offset)
        edges = [batch * part // self.count for part in range(self.count + 1)]
        runs = list(itertools.pairwise(edges))
        longest = -(-batch // self.count)
        if longest <= BATCHED_ROWS:
            answers = self.apart(jnp.stack([rows[low : low + longest] for low, _ in runs]))
            parts = [answers[index, : high - low] for index, (low, high) in enumerate(runs)]
        else:
            parts = [self[index](rows[low:high]) for index, (low, high) in enumerate(runs)]
        return _rotate(jnp.concatenate(parts), batch - offset)


def stacked(networks: Sequence[MLP]) -> MLP:
    """Networks of one shape as one, whose arrays have a leading axis."""
    together: MLP = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *networks)
    return together


def _rotate(rows: Array, offset: Array) -> Array:
    """Rows moved up by `offset` in [0, B], the first ones to the end: one copy, no gather."""
    return jax.lax.dynamic_slice_in_dim(jnp.concatenate([rows, rows]), offset, rows.shape[0])
