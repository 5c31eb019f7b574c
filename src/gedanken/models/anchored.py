"""Any vector model with its rewards recalibrated by anchors: the same verbs, the same states, other rewards.

`AnchoredFamily` makes one of any family. Its anchors are the held-out transitions, whose real rewards are on record and
which the inner model was never trained on; where rewards are sold apart, see `gedanken.intermediary.anchors`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gedanken.errors import FileError
from gedanken.models.contract import Family, FitReport, Imagined, LearnedModel, Members, State
from gedanken.models.data import TransitionTable
from gedanken.models.ensemble import Ensemble
from gedanken.models.files import read_meta, read_tree, write_tree
from gedanken.models.recalibration import Anchors, Floats, Recalibration, RecalibrationConfig, fit_recalibration
from gedanken.models.tasks import Tasks

KIND = "anchored"
BLOCK = 1_024
DRAWS = 8
"""Imagined rewards of an anchor are means over so many draws: a model may ask another member each time."""


def features_of(next_observation: Any, action: Any) -> Any:
    """[B, D], [B, A] -> [B, D + A]: what the residual correction reads of a step."""
    xp = np if isinstance(next_observation, np.ndarray) else jnp
    return xp.concatenate([next_observation, action], -1)


class AnchoredModel(eqx.Module):
    """A `VectorModel` that imagines what `inner` does, and pays what the anchors say that is worth."""

    inner: LearnedModel
    recalibration: Recalibration
    config: RecalibrationConfig = eqx.field(static=True)

    @classmethod
    def of(cls, inner: LearnedModel, config: RecalibrationConfig | None = None) -> Self:
        """A model without anchors: it still pays what `inner` says."""
        config = config or RecalibrationConfig()
        return cls(inner, Recalibration.identity(inner.observation_size + inner.action_size, config), config)

    @property
    def observation_size(self) -> int:
        return self.inner.observation_size

    @property
    def action_size(self) -> int:
        return self.inner.action_size

    @property
    def tasks(self) -> Tasks:
        """The inner model's; `equinox.tree_at(lambda m: m.tasks, ...)` puts others in their place."""
        return self.inner.tasks

    @property
    def id(self) -> str:
        """The inner model's id, so that provenance is kept, and 8 hex digits over every parameter of the anchors."""
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(eqx.filter(self.recalibration, eqx.is_array)):
            digest.update(np.asarray(leaf).tobytes())
        return f"{self.inner.id}+{KIND}-{digest.hexdigest()[:8]}"

    def start(self, tasks: Any, key: Array, *, batch: int) -> State:
        return self.inner.start(tasks, key, batch=batch)

    def members(self, state: State, action: Any) -> Members:
        return self.inner.members(state, action)

    def step(self, state: State, action: Any, key: Array) -> Imagined:
        return self._recalibrated(action, self.inner.step(state, action, key))

    def sample(self, state: State, action: Any, key: Array) -> Imagined:
        return self._recalibrated(action, self.inner.sample(state, action, key))

    def conclude(self, state: State, action: Any, next_observation: Any, key: Array) -> Imagined:
        return self._recalibrated(action, self.inner.conclude(state, action, next_observation, key))

    def interval(self, state: State, action: Any, level: float) -> tuple[Any, Any]:
        """The inner model's interval of the next observation; infinite, which is not known, where it states none."""
        stated = getattr(self.inner, "interval", None)
        if stated is None:
            infinite = jnp.full_like(state.observation, jnp.inf)
            return -infinite, infinite
        ends: tuple[Any, Any] = stated(state, action, level)
        return ends

    def _recalibrated(self, action: Any, imagined: Imagined) -> Imagined:
        features = features_of(imagined.state.observation, action)
        return imagined._replace(reward=self.recalibration(imagined.reward, features))

    def save(self, folder: Path) -> None:
        """Writes the inner model to `folder/inner`, then the recalibration, which names it."""
        self.inner.save(folder / "inner")
        sizes = {"features": self.observation_size + self.action_size, "config": asdict(self.config)}
        write_tree(folder, self.recalibration, kind=KIND, meta={**sizes, "id": self.id, "inner": self.inner.id})

    @classmethod
    def load(cls, folder: Path, *, inner: Callable[[Path], Any] = Ensemble.load) -> Self:
        """Reads what `save` wrote; `inner` reads the inner model.

        Raises:
            FileError: a file is missing, damaged, tampered with or of another version, or the inner model is not the
                one that was recalibrated.
        """
        meta = read_meta(folder, kind=KIND)
        model = inner(folder / "inner")
        if model.id != meta["inner"]:
            raise FileError(
                "The anchors are those of another model.",
                given=f"{model.id} in {folder / 'inner'}",
                expected=meta["inner"],
                do="write it again from its source, or restore the folder from a copy.",
            )
        config = RecalibrationConfig(**meta["config"])
        template = Recalibration.identity(meta["features"], config)
        return cls(model, read_tree(folder, template, kind=KIND), config)


class ImaginedRewards(NamedTuple):
    """What a model says of N recorded steps: mean [N] and standard deviation [N] over draws."""

    mean: Floats
    spread: Floats


def imagined_rewards(
    model: Any, observation: np.ndarray, action: np.ndarray, next_observation: np.ndarray, *, key: Array
) -> ImaginedRewards:
    """The rewards that a model imagines for steps that really happened, over `DRAWS` draws, in blocks of one shape."""
    parts = []
    for number, low in enumerate(range(0, len(observation), BLOCK)):
        rows = [each[low : low + BLOCK] for each in (observation, action, next_observation)]
        count = len(rows[0])
        padded = [np.pad(each, ((0, BLOCK - count), (0, 0))) for each in rows]
        said = _drawn(model, tuple(padded), jax.random.split(jax.random.fold_in(key, number), DRAWS))
        parts.append(np.asarray(said, np.float64)[:, :count])
    drawn = np.concatenate(parts, 1) if parts else np.zeros((DRAWS, 0))
    return ImaginedRewards(drawn.mean(0), drawn.std(0))


@eqx.filter_jit
def _drawn(model: Any, rows: tuple[Any, ...], keys: Array) -> Any:
    """[DRAWS, B] rewards of B steps, given as observation, action and next observation."""
    observation, action, next_observation = rows
    state = State(observation, model.start(None, keys[0], batch=observation.shape[0]).memory)
    return jax.lax.map(lambda key: model.conclude(state, action, next_observation, key).reward, keys)


@dataclass(frozen=True)
class AnchoredFamily:
    """A family whose models are recalibrated, at every fit, by the latest held-out transitions."""

    inner: Family
    config: RecalibrationConfig = field(default_factory=RecalibrationConfig)
    rows: int = 2_048
    """held-out transitions that serve as anchors, at most; the latest"""

    def create(
        self, observation_size: int, action_size: int, resources: tuple[str, ...], *, key: Array
    ) -> LearnedModel:
        inner = self.inner.create(observation_size, action_size, resources, key=key)
        return cast(LearnedModel, AnchoredModel.of(inner, self.config))

    def fit(
        self,
        model: AnchoredModel,
        table: TransitionTable,
        *,
        key: Array,
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[LearnedModel, FitReport]:
        inner, report = self.inner.fit(model.inner, table, key=key, progress=progress)
        columns = table.filled()
        chosen = np.flatnonzero(columns.held_out)[-self.rows :]
        rows = type(columns)(*(column[chosen] for column in columns))
        key = jax.random.fold_in(key, 1)
        said = imagined_rewards(inner, rows.observation, rows.action, rows.next_observation, key=key)
        features = features_of(rows.next_observation, rows.action)
        anchors = Anchors.even(said.mean, rows.reward, features, rows.episode)
        seed = int(jax.random.key_data(key)[-1])
        recalibration = fit_recalibration(anchors, config=self.config, seed=seed)
        return cast(LearnedModel, AnchoredModel(inner, recalibration, self.config)), report
