"""Tasks: where episodes start, which tasks there are, and which are worth practising."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from gedanken.errors import ConfigError

STARTS = 512
"""The latest that many episodes are remembered, so that memory does not grow with the run."""


class Tasks(eqx.Module):
    """A kernel density over initial observations, and a practice weight for every task seen.

    starts: [S, D] float32, initial observations that were really seen; task_of: [S] int32, the task each belongs to;
        valid: [S] bool, False for padding. S is fixed, so that programs compiled for one fit serve the next.
    bandwidth: [D] float32, Scott's rule per dimension, capped at half the distance to the nearest other start, so
        that a density over two starts does not fill the gap between them.
    weights: [T] float32, sums to 1. A task whose episodes all succeed or all fail teaches little; one that now
        succeeds and now fails teaches most (the variance of its returns, as DreamGym's task selection, 2511.03773).
    """

    starts: Array
    task_of: Array
    valid: Array
    bandwidth: Array
    weights: Array
    names: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def unknown(cls, observation_size: int, names: tuple[str, ...] = ("any",)) -> Tasks:
        """Before any episode: every episode starts at 0."""
        return cls(
            starts=jnp.zeros((STARTS, observation_size)),
            task_of=jnp.zeros(STARTS, jnp.int32),
            valid=jnp.arange(STARTS) == 0,
            bandwidth=jnp.zeros(observation_size),
            weights=jnp.full(len(names), 1.0 / len(names), jnp.float32),
            names=names,
        )

    def sample(self, key: Array, batch: int, *, task: int | None = None, jitter: float = 1.0) -> Array:
        """Draws [batch, D] initial observations, of one task or of all by their practice weights."""
        pick_key, noise_key = jax.random.split(key)
        index = jax.random.categorical(pick_key, self._log_shares(task), shape=(batch,))
        noise = jax.random.normal(noise_key, (batch, self.starts.shape[1]))
        return self.starts[index] + jitter * self.bandwidth * noise

    def log_density(self, observation: Array, *, task: int | None = None) -> Array:
        """[B, D] -> [B]: how likely an episode starts there; a dimension that never varied is either equal or not."""
        varies = self.bandwidth > 0
        width = jnp.where(varies, self.bandwidth, 1.0)
        z = jnp.where(varies, (observation[:, None, :] - self.starts[None]) / width, 0.0)
        log_kernel = -0.5 * jnp.square(z) - jnp.where(varies, jnp.log(width) + 0.5 * jnp.log(2 * jnp.pi), 0.0)
        same = jnp.where(varies, True, jnp.abs(observation[:, None, :] - self.starts[None]) < 1e-5).all(-1)
        by_start = jnp.where(same, log_kernel.sum(-1), -jnp.inf)
        return logsumexp(by_start + self._log_shares(task)[None], axis=1)

    def index(self, task: Mapping[str, Any] | None) -> int:
        """The number of a task that was seen.

        Raises:
            ConfigError: it was never seen.
        """
        name = task_name(task)
        if name not in self.names:
            raise ConfigError(
                "No episode of this task was ever recorded.",
                given=name,
                expected=f"one of {', '.join(self.names[:8])}",
                do="collect an episode of it first, or start from an observation of your own.",
            )
        return self.names.index(name)

    def _log_shares(self, task: int | None) -> Array:
        """log-probability of every start: its task's weight, shared evenly among the task's starts."""
        counts = jnp.zeros(len(self.names)).at[self.task_of].add(self.valid)
        if task is not None:
            return jnp.where(self.valid & (self.task_of == task), -jnp.log(counts[task]), -jnp.inf)
        per_start = jnp.log(self.weights[self.task_of]) - jnp.log(counts[self.task_of])
        return jnp.where(self.valid, per_start, -jnp.inf)


def task_name(task: Mapping[str, Any] | None) -> str:
    """A task's canonical name: its JSON with sorted keys; worlds without tasks have one, called `any`."""
    return "any" if task is None else json.dumps(task, sort_keys=True, separators=(",", ":"))


def fit_tasks(
    starts: np.ndarray,
    tasks: Sequence[Mapping[str, Any] | None],
    returns: np.ndarray,
    *,
    floor: float = 0.1,
) -> Tasks:
    """Fits the density and the practice weights to finished episodes.

    Args:
        starts: [E, D] first observation of each episode.
        tasks: the E episodes' tasks.
        returns: [E] undiscounted return of each episode.
        floor: the share of practice spread evenly over all tasks, so that none is forgotten.

    Raises:
        ConfigError: there is no episode.
    """
    if len(starts) == 0:
        raise ConfigError("Tasks need at least one episode.", given="none", do="collect an episode first.")
    starts, tasks, returns = starts[-STARTS:], list(tasks[-STARTS:]), np.asarray(returns[-STARTS:], np.float64)
    names = sorted({task_name(task) for task in tasks})
    task_of = np.array([names.index(task_name(task)) for task in tasks], np.int32)
    spread = np.array([returns[task_of == t].var() if (task_of == t).sum() > 1 else np.nan for t in range(len(names))])
    # A task seen once has an unknown spread: it is practised like the most promising known one.
    spread = np.where(np.isnan(spread), np.nanmax(spread) if np.isfinite(spread).any() else 1.0, spread)
    share = spread / spread.sum() if spread.sum() > 0 else np.full(len(names), 1 / len(names))
    weights = floor / len(names) + (1 - floor) * share
    padding = STARTS - len(starts)
    return Tasks(
        starts=jnp.asarray(np.pad(starts, ((0, padding), (0, 0))), jnp.float32),
        task_of=jnp.asarray(np.pad(task_of, (0, padding))),
        valid=jnp.arange(STARTS) < len(starts),
        bandwidth=jnp.asarray(_bandwidth(starts), jnp.float32),
        weights=jnp.asarray(weights, jnp.float32),
        names=tuple(names),
    )


def _bandwidth(starts: np.ndarray) -> np.ndarray:
    count, size = starts.shape
    if count < 2:
        return np.zeros(size)
    scott = starts.std(0) * count ** (-1.0 / (size + 4))
    typical = np.array([_nearest(column) for column in starts.T])
    bandwidth: np.ndarray = np.minimum(scott, np.maximum(0.5 * typical, 0.05 * scott))
    return bandwidth


def _nearest(values: np.ndarray) -> float:
    """The median, over values that differ, of the distance to the nearest other one; 0 where all are alike."""
    gaps = np.diff(np.unique(values))
    if len(gaps) == 0:
        return 0.0
    return float(np.median(np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps))))
