"""Minari's HDF5 storage, to compare with. Runs in .venv-minari, without gedanken; see benchmarks/experience.py.

python -m benchmarks.peers.minari_store measure FOLDER EPISODES LENGTH
python -m benchmarks.peers.minari_store collect FOLDER EPISODES LENGTH
python -m benchmarks.peers.minari_store count FOLDER
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from benchmarks.peers.common import emit

OBSERVATIONS = gym.spaces.Box(-np.inf, np.inf, (17,), np.float64)
ACTIONS = gym.spaces.Box(-1, 1, (6,), np.float32)
DRAWN = 256


def episodes(count: int, length: int) -> Iterator[EpisodeBuffer]:
    """Episodes of a random walk as wide as HalfCheetah-v5."""
    rng = np.random.default_rng(0)
    for number in range(count):
        yield EpisodeBuffer(
            id=number,
            observations=list(0.01 * np.cumsum(rng.normal(size=(length + 1, 17)), 0)),
            actions=list(rng.uniform(-1, 1, (length, 6)).astype(np.float32)),
            rewards=[float(at) for at in range(length)],
            terminations=[False] * length,
            truncations=[False] * (length - 1) + [True],
        )


def measure(folder: Path, count: int, length: int) -> None:
    """Seconds for writing the episodes one by one, for reading them all, and for fetching random transitions."""
    storage = MinariStorage.new(folder, OBSERVATIONS, ACTIONS)
    buffers = list(episodes(count, length))
    start = time.perf_counter()
    for buffer in buffers:
        storage.update_episodes([buffer])
    wrote = time.perf_counter() - start
    start = time.perf_counter()
    steps = sum(len(episode["rewards"]) for episode in storage.get_episodes(range(count)))
    read = time.perf_counter() - start
    rng, rewards = np.random.default_rng(0), []
    start = time.perf_counter()
    for number, step in zip(rng.integers(0, count, DRAWN).tolist(), rng.integers(0, length, DRAWN), strict=True):
        (episode,) = storage.get_episodes([number])  # an episode is the least it reads
        rewards.append(episode["rewards"][step])
    emit(steps=steps, append_s=wrote, read_s=read, sample_s=time.perf_counter() - start)


def collect(folder: Path, count: int, length: int) -> None:
    """Writes the episodes one by one and says after each how many steps were stored."""
    storage = MinariStorage.new(folder, OBSERVATIONS, ACTIONS)
    for number, buffer in enumerate(episodes(count, length)):
        storage.update_episodes([buffer])
        emit(stored=(number + 1) * length)


def count_steps(folder: Path) -> None:
    """How many steps can be read, in whole episodes from the first on."""
    steps = 0
    try:
        storage = MinariStorage.read(folder)
        for episode in storage.get_episodes(range(storage.total_episodes)):
            steps += len(episode["rewards"])
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        emit(readable=steps, error=repr(error)[:200])
        return
    emit(readable=steps)


if __name__ == "__main__":
    name, path, *sizes = sys.argv[1:]
    {"measure": measure, "collect": collect, "count": count_steps}[name](Path(path), *map(int, sizes))
