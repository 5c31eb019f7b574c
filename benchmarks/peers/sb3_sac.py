"""Stable-Baselines3's SAC on one world: its learning curve against paid steps, one JSON line a point.

    .venv-peers/bin/python -m benchmarks.peers.sb3_sac --world Pendulum-v1 --seed 0 --steps 50000

Hyperparameters are the library's defaults. `--variant zoo` takes the learning rate that rl-baselines3-zoo gives for
Pendulum-v1 (1e-3). At every point the deterministic policy plays whole episodes in an env of its own.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.peers.common import Stopwatch, emit, play

VARIANTS = {"default": {}, "zoo": {"learning_rate": 1e-3}}


class Curve(BaseCallback):
    """Prints a point of the learning curve every so many paid steps."""

    def __init__(self, env: gym.Env, watch: Stopwatch, *, every: int, episodes: int, seed: int) -> None:
        super().__init__()
        self.env, self.watch, self.every, self.episodes, self.first_seed = env, watch, every, episodes, seed

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0:
            seconds = self.watch.seconds
            with self.watch.paused():
                returns = play(self.env, self.act, episodes=self.episodes, seed=self.first_seed)
            emit(paid=self.num_timesteps, returns=returns, seconds=seconds)
        return True

    def act(self, observation: object) -> object:
        return self.model.predict(observation, deterministic=True)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="paid steps")
    parser.add_argument("--every", type=int, default=1000, help="paid steps between two points of the curve")
    parser.add_argument("--episodes", type=int, default=10, help="of one evaluation")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="default")
    args = parser.parse_args()

    torch.set_num_threads(1)
    watch = Stopwatch()
    model = SAC("MlpPolicy", gym.make(args.world), seed=args.seed, device="cpu", **VARIANTS[args.variant])
    curve = Curve(gym.make(args.world), watch, every=args.every, episodes=args.episodes, seed=10_000 + 100 * args.seed)
    model.learn(args.steps, callback=curve)


if __name__ == "__main__":
    main()
