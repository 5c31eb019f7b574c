"""How many transitions a second Gedanken's ensemble imagines: the sizes of `mbrl_model_env`, warm, and the limit.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.peers.gedanken_imagine --batches 100 1000

Five members of four hidden layers of 200 SiLU units, probabilistic, one member a row, with learned rewards and, unlike
the peer, learned terminations (networks of their own, two layers of 128). One rollout is one compiled scan. One JSON
line a repeat: `transitions_per_second` of a batch; `gflops` of the matrix products that bound it; `rows_per_second` of
the dynamics' networks alone, `unrolled` into separate products, and `batched` into one over all members: a
`gedanken.models.stack.Stack` takes the first for many rows and the second for few.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false" if os.environ.get("OMP_NUM_THREADS") == "1" else ""

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.peers.cheetah import ACTION_SIZE, OBSERVATION_SIZE
from benchmarks.peers.common import emit
from gedanken.dreams.rollout import Rollout, imagine
from gedanken.models.contract import State
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.stack import Stack

CONFIG = EnsembleConfig(members=5, width=200, depth=4, layer_norm=False)


def network_flops(model: Ensemble) -> int:
    """Operations that the products of one dynamics and one reward network take for one row."""
    networks = (model.dynamics.members[0], model.reward.members[0])
    return sum(2 * layer.weight.size for network in networks for layer in network.layers)


def make() -> Ensemble:
    """An untrained ensemble whose every part is at work."""
    model = Ensemble(OBSERVATION_SIZE, ACTION_SIZE, ("steps",), CONFIG, key=jax.random.key(0))
    return eqx.tree_at(lambda m: m.reward.can_terminate, model, jnp.asarray(True))


@eqx.filter_jit
def rollout(model: Ensemble, start: jax.Array, actions: jax.Array, key: jax.Array, horizon: int) -> Rollout:
    """Always the same actions: nothing is measured but the model."""

    def policy(_: jax.Array, __: jax.Array) -> jax.Array:
        return actions

    return imagine(model, policy, State(start), key, horizon=horizon)


@eqx.filter_jit
def unrolled(members: Stack, x: jax.Array) -> list[jax.Array]:
    """M times [B, I] -> [B, O] with separate products."""
    return [members[index](x[index]) for index in range(members.count)]


@eqx.filter_jit
def batched(members: Stack, x: jax.Array) -> jax.Array:
    """[M, B, I] -> [M, B, O] with one product over all members in each layer."""
    answers: jax.Array = eqx.filter_vmap(lambda network, rows: network(rows))(members.networks, x)
    return answers


def timed(work: Callable[..., Any], *arguments: Any, seconds: float) -> tuple[float, float]:
    """Seconds that one call takes, and all that were spent, of as many calls as fit into about `seconds`."""
    jax.block_until_ready(work(*arguments))
    start = time.perf_counter()
    jax.block_until_ready(work(*arguments))
    calls = max(1, round(seconds / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(calls):
        answer = work(*arguments)
    jax.block_until_ready(answer)
    spent = time.perf_counter() - start
    return spent / calls, spent


def peak(product: Callable[..., Any], rows: int, inner: int, outer: int, *, seconds: float) -> dict[str, float]:
    """What one matrix product of this shape reaches."""
    one, spent = timed(product, jnp.ones((rows, inner)), jnp.ones((inner, outer)), seconds=seconds)
    return {"gflops": 2 * rows * inner * outer / one / 1e9, "seconds": spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long one repeat takes")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if os.environ["XLA_FLAGS"] and hasattr(os, "sched_setaffinity"):
        # Or independent operations would still run beside each other.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    model = make()
    emit(network_flops=network_flops(model))
    product = jax.jit(jnp.matmul)
    members, width = model.dynamics.members, CONFIG.width
    # Repeat by repeat, not batch by batch: what else the machine does then troubles all figures alike.
    for repeat in range(args.repeats):
        emit(repeat=repeat, shape="2048", **peak(product, 2_048, 2_048, 2_048, seconds=0.5))
        for batch in args.batches:
            start = jnp.zeros((batch, OBSERVATION_SIZE))
            actions = jax.random.uniform(jax.random.key(1), (batch, ACTION_SIZE), minval=-1.0)
            horizon = max(2, min(100, 200_000 // batch))  # it keeps what it imagines: about 100 MB at most
            one, spent = timed(rollout, model, start, actions, jax.random.key(2), horizon, seconds=args.seconds)
            emit(batch=batch, repeat=repeat, transitions_per_second=batch * horizon / one, seconds=spent)

            rows = batch // CONFIG.members
            emit(repeat=repeat, shape=f"batch{batch}", **peak(product, rows, width, width, seconds=0.1))
            x = jnp.ones((CONFIG.members, rows, OBSERVATION_SIZE + ACTION_SIZE))
            for form, forward in (("unrolled", unrolled), ("batched", batched)):
                one, spent = timed(forward, members, x, seconds=0.3)
                emit(batch=batch, repeat=repeat, form=form, rows_per_second=CONFIG.members * rows / one, seconds=spent)


if __name__ == "__main__":
    main()
