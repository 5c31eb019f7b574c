"""How many SAC updates a second Stable-Baselines3 makes: gradient steps only, on a filled buffer, one thread.

    yes '' | head -5 | .venv-peers/bin/python -m benchmarks.peers.sb3_updates --width 256 --batch 256

The nets have HalfCheetah-v5's sizes. One JSON line for each line on standard input.
"""

from __future__ import annotations

import argparse
import time

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure

from benchmarks.peers.cheetah import CheetahSizes, fill
from benchmarks.peers.common import emit, turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, required=True, help="units in each of the two hidden layers")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--updates", type=int, default=300, help="in one repeat")
    args = parser.parse_args()

    torch.set_num_threads(1)
    nets = {"net_arch": [args.width, args.width]}
    model = SAC("MlpPolicy", CheetahSizes(), seed=0, device="cpu", buffer_size=10_000, policy_kwargs=nets)
    model.set_logger(configure(None, []))
    fill(model.replay_buffer, 10_000)
    model.train(gradient_steps=50, batch_size=args.batch)
    for repeat in turns():
        start = time.perf_counter()
        model.train(gradient_steps=args.updates, batch_size=args.batch)
        seconds = time.perf_counter() - start
        emit(repeat=repeat, updates_per_second=args.updates / seconds, seconds=seconds)


if __name__ == "__main__":
    main()
