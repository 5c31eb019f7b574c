"""What happened: one step of the world, and one episode of such steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gedanken.experience.cost import Cost

Source = Literal["real", "cache", "code", "model"]


@dataclass(frozen=True)
class Provenance:
    """Who answered: the world itself, a cache of its answers, a program, or a learned model (then which)."""

    source: Source = "real"
    model_id: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How an episode ended, as far as anybody knows. `None` is "not known", which is not the same as "no"."""

    success: bool | None = None
    failure_mode: str | None = None
    labelled_by: str | None = None


@dataclass(frozen=True)
class Transition:
    """One step: the agent saw `observation`, did `action`, and the world answered with the rest.

    Observations and actions are what the Gymnasium spaces of the world hold (arrays, ints, text).
    `log_probability` is that of the action under the behaviour policy, `None` where it is not known;
    `duration_ms` is how long the world took; `action_id` is the ledger's id of the billing unit it was paid with.
    """

    observation: Any
    action: Any
    reward: float
    terminated: bool
    truncated: bool
    next_observation: Any
    cost: Cost = field(default_factory=Cost)
    duration_ms: float | None = None
    log_probability: float | None = None
    provenance: Provenance = Provenance()
    action_id: str | None = None


@dataclass(frozen=True)
class EpisodeHeader:
    """What is known of an episode before its first step.

    `account` is the ledger's account it is paid from (`learn`, `check`); `policy` names the behaviour policy.
    """

    episode_id: str
    world: str
    policy: str
    account: str = "learn"
    task: Mapping[str, Any] | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Episode:
    """A whole episode in columns, T steps long.

    observations: [T + 1, ...]; actions: [T, ...]; rewards: [T] float64; terminated, truncated: [T] bool;
    costs: resource -> [T] int64; durations_ms and log_probabilities: [T] float64, NaN where not known.
    `complete` is False while the episode has no recorded end (it is running, or its process died).
    """

    header: EpisodeHeader
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    costs: Mapping[str, np.ndarray]
    durations_ms: np.ndarray
    log_probabilities: np.ndarray
    outcome: Outcome = Outcome()
    complete: bool = True
    provenance: Provenance = Provenance()

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def total_reward(self) -> float:
        """The undiscounted return."""
        return float(self.rewards.sum())
