"""How many SAC updates a second Gedanken makes, one thread; the nets of SB3 (ReLU, no normalisation), one call for all.

    yes '' | head -5 | .venv/bin/python -m benchmarks.peers.gedanken_updates --width 256 --batch 256

Gradient steps only, on a filled buffer on the device, compiled beforehand; the nets have HalfCheetah-v5's sizes. One
JSON line for each line on standard input.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np

from benchmarks.peers.common import emit, turns
from gedanken.agents.sac import SAC, SACConfig, learn, paid_transitions
from gedanken.models.data import Columns, TransitionTable

OBSERVATION, ACTION, ROWS = 17, 6, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, required=True, help="units in each of the two hidden layers")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--updates", type=int, default=300, help="in one repeat")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    table = TransitionTable(ROWS, OBSERVATION, ACTION, ())
    table.add(
        Columns(
            observation=rng.normal(size=(ROWS, OBSERVATION)).astype(np.float32),
            action=rng.uniform(-1, 1, (ROWS, ACTION)).astype(np.float32),
            reward=rng.normal(size=ROWS).astype(np.float32),
            terminated=np.zeros(ROWS, bool),
            next_observation=rng.normal(size=(ROWS, OBSERVATION)).astype(np.float32),
            cost=np.zeros((ROWS, 0), np.float32),
            episode=np.zeros(ROWS, np.int32),
            held_out=np.zeros(ROWS, bool),
        )
    )
    config = SACConfig(
        width=args.width,
        batch=args.batch,
        chunk=args.updates,
        imagined_share=0.0,
        layer_norm=False,
        activation="relu",
    )
    state = SAC(config).init(OBSERVATION, ACTION, discrete=False, key=jax.random.key(0))
    paid = paid_transitions(table)
    state, _ = jax.block_until_ready(learn(state, paid, paid, jax.random.key(1), config=config))
    for repeat in turns():
        start = time.perf_counter()
        state, _ = jax.block_until_ready(learn(state, paid, paid, jax.random.key(repeat), config=config))
        seconds = time.perf_counter() - start
        emit(repeat=repeat, updates_per_second=args.updates / seconds, seconds=seconds)


if __name__ == "__main__":
    main()
