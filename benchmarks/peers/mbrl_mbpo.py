"""mbrl-lib's MBPO on InvertedPendulum-v5 or Pendulum-v1: its learning curve against paid steps, one JSON line a point.

    .venv-mbrl/bin/python -m benchmarks.peers.mbrl_mbpo --world InvertedPendulum-v5 --seed 0 --steps 3000

Hyperparameters are those that mbrl-lib ships for InvertedPendulum (examples/conf: algorithm/mbpo,
dynamics_model/gaussian_mlp_ensemble, overrides/mbpo_inv_pendulum). Pendulum-v1, for which it ships none, takes the same
without termination. Two things differ, in its favour or for a fair account:

- The initial exploration is 500 steps, as in the original MBPO's configuration for InvertedPendulum, not 5,000 (which
  mbrl-lib does not count as steps of the run): a budget of 3,000 would have been gone before it began to learn.
- Every step of the real env counts as paid, that exploration included.

The physics is that of Gymnasium 1.4, as for every other method. At the end of each of its epochs (250 steps) the
deterministic policy plays whole episodes in an env of its own; this time does not count.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import mbrl.algorithms.mbpo as mbpo
import mbrl.env.termination_fns as terminations
import numpy as np
import omegaconf
import torch

from benchmarks.peers.common import Stopwatch, emit, play

TERMINATIONS = {"InvertedPendulum-v5": terminations.inverted_pendulum, "Pendulum-v1": terminations.no_termination}


class Counted(gym.Wrapper):
    """Counts real steps, whoever takes them."""

    paid = 0

    def step(self, action: Any) -> Any:
        self.paid += 1
        return self.env.step(action)


def box(low: Sequence[float], high: Sequence[float], shape: Sequence[int]) -> gym.spaces.Box:
    """The action space from what its configuration holds: Gymnasium takes no lists."""
    return gym.spaces.Box(np.float32(low), np.float32(high), tuple(shape))


def configuration(seed: int, *, exploration: int, steps: int) -> omegaconf.DictConfig:
    """What mbrl-lib's own main.py would have composed, with our seed, device and budget."""
    shipped = Path(mbpo.__file__).parent.parent / "examples" / "conf"
    parts = {
        "algorithm": "algorithm/mbpo",
        "dynamics_model": "dynamics_model/gaussian_mlp_ensemble",
        "overrides": "overrides/mbpo_inv_pendulum",
    }
    config = omegaconf.OmegaConf.create(
        {
            **{name: omegaconf.OmegaConf.load(shipped / f"{path}.yaml") for name, path in parts.items()},
            "seed": seed,
            "device": "cpu",
            "log_frequency_agent": 1000,
            "save_video": False,
            "debug_mode": False,
        }
    )
    config.algorithm.agent.action_space._target_ = (
        "benchmarks.peers.mbrl_mbpo.box"  # shipped as gym.env.Box, which is no more
    )
    config.dynamics_model._recursive_ = False  # hydra 1.3 would build the activation before the model asks for it
    config.algorithm.initial_exploration_steps = exploration
    config.overrides.num_steps = steps - exploration
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", choices=sorted(TERMINATIONS), required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="paid steps, the exploration included")
    parser.add_argument("--exploration", type=int, default=500, help="paid steps before the first model")
    parser.add_argument("--epoch", type=int, help="paid steps between two points; mbrl-lib's own value by default")
    parser.add_argument("--episodes", type=int, default=10, help="of one evaluation")
    args = parser.parse_args()

    config = configuration(args.seed, exploration=args.exploration, steps=args.steps)
    if args.epoch:
        config.overrides.epoch_length = config.overrides.freq_train_model = args.epoch
    if (args.steps - args.exploration) % config.overrides.epoch_length:
        parser.error(
            f"it stops at the end of an epoch: --steps - --exploration must be {config.overrides.epoch_length} * n"
        )

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002 -- mbrl-lib draws from it

    env, test_env = Counted(gym.make(args.world)), gym.make(args.world)
    env.reset(seed=args.seed)
    env.action_space.seed(args.seed)
    watch = Stopwatch()

    def evaluate(test_env: gym.Env, agent: Any, num_episodes: int, video_recorder: Any) -> float:
        seconds = watch.seconds
        video_recorder.init(enabled=False)
        with watch.paused():
            returns = play(test_env, agent.act, episodes=num_episodes, seed=10_000 + 100 * args.seed)
        emit(paid=env.paid, returns=returns, seconds=seconds)
        return float(np.mean(returns))

    # Its own evaluation plays one episode and reports the best epoch: ours is what every method here is measured with.
    mbpo.evaluate = evaluate
    config.algorithm.num_eval_episodes = args.episodes
    with tempfile.TemporaryDirectory() as folder:
        mbpo.train(env, test_env, TERMINATIONS[args.world], config, silent=True, work_dir=folder)


if __name__ == "__main__":
    main()
