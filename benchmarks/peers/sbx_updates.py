"""How many SAC updates a second SBX makes (SAC in JAX, by the authors of Stable-Baselines3), one thread.

    yes '' | head -5 | .venv-peers/bin/python -m benchmarks.peers.sbx_updates --width 256 --batch 256 --fused 100

Gradient steps only, on a filled buffer, compiled beforehand; the nets have HalfCheetah-v5's sizes. `--fused` is how
many updates one compiled call makes: 1 is what SBX does by default, more is its fastest. One
JSON line for each line on standard input.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["JAX_PLATFORMS"] = "cpu"

import torch
from sbx import SAC
from stable_baselines3.common.logger import configure

from benchmarks.peers.cheetah import CheetahSizes, fill
from benchmarks.peers.common import emit, turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, required=True, help="units in each of the two hidden layers")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--fused", type=int, default=100, help="updates in one compiled call")
    parser.add_argument("--updates", type=int, default=300, help="in one repeat; a multiple of --fused")
    args = parser.parse_args()

    torch.set_num_threads(1)
    nets = {"net_arch": [args.width, args.width]}
    model = SAC("MlpPolicy", CheetahSizes(), seed=0, buffer_size=10_000, policy_kwargs=nets)
    model.set_logger(configure(None, []))
    fill(model.replay_buffer, 10_000)
    for _ in range(2):
        model.train(gradient_steps=args.fused, batch_size=args.batch)
    for repeat in turns():
        start = time.perf_counter()
        for _ in range(args.updates // args.fused):
            model.train(gradient_steps=args.fused, batch_size=args.batch)  # waits: it reads the losses as numbers
        seconds = time.perf_counter() - start
        emit(repeat=repeat, updates_per_second=args.updates / seconds, seconds=seconds)


if __name__ == "__main__":
    main()
