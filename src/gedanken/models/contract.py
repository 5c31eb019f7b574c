"""What every world model must do, whatever it is made of.

A world model has three learned parts, each of which can be swapped alone: **Dynamics** (which observation comes
next), **Reward** (what it brings: reward, termination, cost, duration) and **Tasks** (where episodes start, and which
tasks are worth practising). Numeric families are `equinox.Module`s whose methods are pure and batched, so that a whole
rollout compiles into one `jax.lax.scan`; text families are Python objects with the same verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import jax

from gedanken.models.data import TransitionTable
from gedanken.models.tasks import Tasks


class State(NamedTuple):
    """Where an imagined episode stands.

    `observation` is [B, D] float32 in numeric families, a list of B texts in text families. `memory` is whatever else
    the family carries (a recurrent state, a history); Markov families have `()`.
    """

    observation: Any
    memory: Any = ()


class Imagined(NamedTuple):
    """One predicted step for a batch of B states. What a family does not know is NaN, never 0.

    state: where the episode stands now; `state.observation` is the predicted next observation, [B, D] float32.
    reward: [B] float32.
    terminated: [B] bool, a sample. Truncation is the caller's business, not the world's.
    termination_probability: [B] float32 in [0, 1].
    cost: resource -> [B] float32, what the real step would have cost; empty where no cost was ever recorded.
    epistemic, aleatoric: [B, D] float32, standard deviations of the next observation in the observation's units:
        what more data would remove, and what it would not. NaN where only one member was asked.
    confidence: [B] float32 in [0, 1], the calibrated probability that the prediction is within tolerance
        (see `gedanken.models.calibration`); NaN where only one member was asked or nothing was calibrated.
    """

    state: State
    reward: Any
    terminated: Any
    termination_probability: Any
    cost: dict[str, Any]
    epistemic: Any
    aleatoric: Any
    confidence: Any


@runtime_checkable
class WorldModel(Protocol):
    """The verbs of a world model."""

    @property
    def id(self) -> str:
        """Names this fitted model, derived from its parameters: written into every transition it imagines."""

    def start(self, tasks: Any, key: jax.Array, *, batch: int) -> State:
        """Draws `batch` initial states for `tasks` (None: whatever tasks the real world was seen to give)."""

    def step(self, state: State, action: Any, key: jax.Array) -> Imagined:
        """Imagines one step with everything the model knows, uncertainty included. `action` is [B, A] encoded."""

    def sample(self, state: State, action: Any, key: jax.Array) -> Imagined:
        """Imagines one step as cheaply as it can be drawn (one member a row); uncertainties are NaN."""

    def save(self, folder: Path) -> None:
        """Writes safetensors and a JSON manifest with checksums."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileError: a file is missing, damaged, tampered with or of another version.
        """


class Members(NamedTuple):
    """What each of M members says of the next observation, in the observation's units.

    mean, std: [M, B, D] float32. `std` is the member's aleatoric standard deviation.
    """

    mean: Any
    std: Any


@runtime_checkable
class VectorModel(WorldModel, Protocol):
    """A numeric world model whose members can be asked apart, which truncation rules need."""

    observation_size: int
    action_size: int

    def members(self, state: State, action: Any) -> Members:
        """What every member predicts for [B, D] observations and [B, A] encoded actions."""

    def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
        """Completes a step whose next observation [B, D] was chosen by the caller: reward, termination, cost.

        Uncertainties are NaN; the caller, who chose, fills in what it knows.
        """


# --- A family, as the loop asks it -----------------------------------------------------------------------------------


class LearnedModel(VectorModel, Protocol):
    """A `VectorModel` whose third part, `tasks`, is a field that the loop replaces as episodes begin elsewhere."""

    tasks: Tasks


@dataclass(frozen=True)
class FitReport:
    """What a fit did.

    held_out_error: root-mean-square error of the standardised next observation on held-out episodes, mean over
        members; None where no episode was held out. minibatches: how many were taken; stopped_early: whether the
        held-out error stopped it.
    """

    rows: int
    held_out_rows: int
    held_out_error: float | None
    minibatches: int
    stopped_early: bool
    seconds: float


class Family(Protocol):
    """A model family with its settings: a frozen dataclass behind an entry point of the group `gedanken.models`."""

    def create(
        self, observation_size: int, action_size: int, resources: tuple[str, ...], *, key: jax.Array
    ) -> LearnedModel:
        """A model of [D] observations and [A] encoded actions that has learned nothing yet.

        An `equinox.Module`: a run's checkpoint holds its arrays, and `fit` changes neither their number nor shapes.
        """

    def fit(
        self,
        model: Any,
        table: TransitionTable,
        *,
        key: jax.Array,
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[LearnedModel, FitReport]:
        """The model, learned further from the table's training rows and calibrated on its held-out ones.

        `progress` is called with (minibatches so far, held-out error).
        """
