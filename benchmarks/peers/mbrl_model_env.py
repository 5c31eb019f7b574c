"""How many transitions a second mbrl-lib's `ModelEnv` imagines: an ensemble of HalfCheetah-v5's sizes, warm.

    .venv-mbrl/bin/python -m benchmarks.peers.mbrl_model_env --threads 1 --batches 100 1000

Five members of four hidden layers of 200 SiLU units, probabilistic, one member a row (`random_model`), learned
rewards, no termination (its `ModelEnv` raises on learned ones). Tensors stay torch tensors. One JSON line a repeat.
"""

from __future__ import annotations

import argparse
import time

import mbrl.models
import numpy as np
import torch
from mbrl.env.termination_fns import no_termination

from benchmarks.peers.cheetah import ACTION_SIZE, OBSERVATION_SIZE, CheetahSizes
from benchmarks.peers.common import emit


def make(members: int, layers: int, width: int) -> mbrl.models.ModelEnv:
    network = mbrl.models.GaussianMLP(
        in_size=OBSERVATION_SIZE + ACTION_SIZE,
        out_size=OBSERVATION_SIZE + 1,
        device="cpu",
        num_layers=layers,
        ensemble_size=members,
        hid_size=width,
        deterministic=False,
        propagation_method="random_model",
        activation_fn_cfg={"_target_": "torch.nn.SiLU"},
    )
    model = mbrl.models.OneDTransitionRewardModel(
        network, target_is_delta=True, normalize=True, learned_rewards=True, num_elites=members
    )
    return mbrl.models.ModelEnv(CheetahSizes(), model, no_termination, generator=torch.Generator().manual_seed(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long one repeat takes")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    env = make(args.members, args.layers, args.width)
    for batch in args.batches:
        actions = torch.rand(batch, ACTION_SIZE) * 2.0 - 1.0

        def imagine(steps: int, batch: int = batch, actions: torch.Tensor = actions) -> float:
            # Untrained members drift away within tens of steps, and huge numbers can be slow: start anew every ten.
            start = time.perf_counter()
            for step in range(steps):
                if step % 10 == 0:
                    state = env.reset(np.zeros((batch, OBSERVATION_SIZE), np.float32), return_as_np=False)
                _, _, _, state = env.step(actions, state, sample=True)
            return time.perf_counter() - start

        imagine(2)
        steps = max(1, round(args.seconds / (imagine(3) / 3)))
        for repeat in range(args.repeats):
            seconds = imagine(steps)
            emit(batch=batch, repeat=repeat, transitions_per_second=batch * steps / seconds, seconds=seconds)


if __name__ == "__main__":
    main()
