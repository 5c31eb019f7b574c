"""Networks asked together against the same networks asked one by one."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.models.networks import MLP
from gedanken.models.stack import BATCHED_ROWS, Stack

MEMBERS, INPUTS, OUTPUTS = 3, 4, 2
FEW, MANY = 5, BATCHED_ROWS + 1

together = eqx.filter_jit(lambda stack, x: stack(x))
apart = eqx.filter_jit(lambda stack, x: stack.apart(x))
one_each = eqx.filter_jit(lambda stack, x, key: stack.one_each(x, key))


def stack(members: int = MEMBERS) -> Stack:
    def network(key: jax.Array) -> MLP:
        return MLP(INPUTS, OUTPUTS, width=8, depth=2, layer_norm=True, key=key)

    return Stack.of(network, members, key=jax.random.key(0))


def rows(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal((*shape, INPUTS)), jnp.float32)


def one_by_one(s: Stack, x: jax.Array) -> np.ndarray:
    return np.stack([np.asarray(s[index](x)) for index in range(s.count)])


def test_its_networks_differ_and_are_as_many_as_asked_for() -> None:
    s = stack()
    assert len({np.asarray(s[index].layers[0].weight).tobytes() for index in range(MEMBERS)}) == MEMBERS
    for wrong in (MEMBERS, -1):
        with pytest.raises(IndexError):
            s[wrong]


@pytest.mark.parametrize("batch", [1, FEW, MANY])
def test_together_they_answer_as_one_by_one(batch: int) -> None:
    x = rows(batch)
    np.testing.assert_allclose(together(stack(), x), one_by_one(stack(), x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, FEW, MANY])
def test_each_answers_to_its_own_rows(batch: int) -> None:
    s, x = stack(), rows(MEMBERS, batch)
    wanted = np.stack([np.asarray(s[index](x[index])) for index in range(MEMBERS)])
    np.testing.assert_allclose(apart(s, x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 5, 6, 7, 8, MEMBERS * BATCHED_ROWS, MEMBERS * BATCHED_ROWS + 1])
def test_every_row_has_one_member_and_members_have_equally_many_rows(batch: int) -> None:
    s, x = stack(), rows(batch)
    answers = one_by_one(s, x)
    seen = set()
    for seed in range(4):
        said = np.asarray(one_each(s, x, jax.random.key(seed)))
        member = np.abs(answers - said).sum(-1).argmin(0)
        np.testing.assert_allclose(said, answers[member, np.arange(batch)], rtol=1e-4, atol=1e-5)
        counts = np.bincount(member, minlength=MEMBERS)
        assert batch < 2 * MEMBERS or counts.max() - counts.min() <= 1
        seen.add(member.tobytes())
    assert batch == 1 or len(seen) > 1


def test_every_member_is_asked_about_every_row_in_the_end() -> None:
    s, x = stack(), rows(7)
    answers = one_by_one(s, x)
    counts = np.zeros((MEMBERS, 7))
    for seed in range(60):
        said = np.asarray(one_each(s, x, jax.random.key(seed)))
        counts[np.abs(answers - said).sum(-1).argmin(0), np.arange(7)] += 1
    # A third of 60 is 20, with a standard deviation of 3.7.
    assert counts.min() >= 6 and counts.max() <= 36


@pytest.mark.parametrize("batch", [7, MEMBERS * BATCHED_ROWS + 1])
def test_gradients_reach_the_rows_and_their_members_alone(batch: int) -> None:
    s, x, key = stack(), rows(batch), jax.random.key(1)

    def loss(s: Stack, x: jax.Array, row: int) -> jax.Array:
        return s.one_each(x, key)[row].sum()

    weights, inputs = eqx.filter_jit(eqx.filter_grad(lambda both: loss(*both, 0)))((s, x))
    touched = np.abs(weights.networks.layers[-1].weight).sum((1, 2)) > 0
    assert touched.sum() == 1
    assert (np.abs(inputs).sum(1) > 0).tolist() == [True] + [False] * (batch - 1)
