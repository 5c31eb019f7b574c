"""How long it takes to imagine whole evaluation episodes: one policy, the default ensemble, HalfCheetah-v5's sizes.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.peers.gedanken_returns --episodes 1000 --horizon 200

One JSON line for the first call, which compiles (`first_seconds`), and one a repeat (`seconds`).
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false" if os.environ.get("OMP_NUM_THREADS") == "1" else ""

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.peers.cheetah import ACTION_SIZE, OBSERVATION_SIZE
from benchmarks.peers.common import emit
from gedanken.agents.actor_critic import Actor
from gedanken.agents.policy import Greedy
from gedanken.evidence.value import imagined_returns
from gedanken.models.contract import State
from gedanken.models.ensemble import Ensemble, EnsembleConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=1_000)
    parser.add_argument("--horizon", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if os.environ["XLA_FLAGS"] and hasattr(os, "sched_setaffinity"):
        # Or independent operations would still run beside each other.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    model_key, actor_key, start_key, key = jax.random.split(jax.random.key(0), 4)
    model = Ensemble(OBSERVATION_SIZE, ACTION_SIZE, ("steps",), EnsembleConfig(), key=model_key)
    # Untrained, but with every part at work, endings too. Rows that have ended cost as much as the others.
    model = eqx.tree_at(lambda m: m.reward.can_terminate, model, jnp.asarray(True))
    actor = Actor(OBSERVATION_SIZE, ACTION_SIZE, discrete=False, width=256, depth=2, layer_norm=False, key=actor_key)
    start = State(jax.random.normal(start_key, (args.episodes, OBSERVATION_SIZE)))
    for repeat in range(-1, args.repeats):
        begun = time.perf_counter()
        imagined_returns(
            model,
            Greedy(actor),
            episodes=args.episodes,
            horizon=args.horizon,
            key=jax.random.fold_in(key, repeat + 1),
            start=start,
        )
        took = time.perf_counter() - begun
        emit(**({"first_seconds": took} if repeat < 0 else {"repeat": repeat, "seconds": took}))


if __name__ == "__main__":
    main()
