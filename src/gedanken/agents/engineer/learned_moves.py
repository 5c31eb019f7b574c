"""A policy over moves: which way to come to the next program, given how a campaign stands."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from gedanken.agents.duration_aware import SoftmaxPolicy
from gedanken.dreams.attempts_seen import OBSERVED, mask_of
from gedanken.errors import FileError
from gedanken.experience.files import publish, write_text
from gedanken.worlds.ml_engineering.moves import MOVES, STOP

SCHEMA_VERSION = 1
FEATURES = OBSERVED + len(MOVES)
_NEVER = 30.0
"""What is taken from the logit of a move that is not possible."""
_FARTHEST = 3.0
"""Standard deviations: a task unlike all train tasks counts as one at their edge."""
_RARELY = -4.0
"""The first logit of `stop`, so that campaigns are long enough to be learned from."""
_ARRAYS = ("logits", "slopes", "mean", "scale")


@dataclass(frozen=True, eq=False)
class LearnedMoves:
    """A softmax policy over `MOVES`.

    Attributes:
        policy: K logits, and slopes [FEATURES, K]: of the standardised observation, and of what is not possible.
        mean, scale: [OBSERVED], what observations are standardised by.
        about: how it was learned, as JSON can hold it.
    """

    policy: SoftmaxPolicy
    mean: np.ndarray
    scale: np.ndarray
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def unlearned(cls) -> Self:
        """All possible moves alike, but `stop` rarely."""
        logits = np.zeros(len(MOVES), np.float32)
        logits[STOP] = _RARELY
        slopes = np.zeros((FEATURES, len(MOVES)), np.float32)
        # The gradient knows what is possible from the features, as the choice below does from the mask.
        slopes[OBSERVED:] = -_NEVER * np.eye(len(MOVES))
        policy = SoftmaxPolicy(jnp.asarray(logits), jnp.asarray(slopes))
        return cls(policy, np.zeros(OBSERVED), np.ones(OBSERVED))

    def features(self, observations: np.ndarray) -> np.ndarray:
        """[..., OBSERVED] -> [..., FEATURES] float32."""
        standard = np.clip((observations - self.mean) / self.scale, -_FARTHEST, _FARTHEST)
        return np.concatenate([standard, 1 - mask_of(observations)], -1).astype(np.float32)

    def probabilities(self, observation: np.ndarray) -> np.ndarray:
        """[OBSERVED] -> [K]: of each move; 0 of those that are not possible."""
        logits, slopes = self._numbers
        score = logits + self.features(observation) @ slopes
        each = np.exp(score - score.max()) * mask_of(observation)
        found: np.ndarray = each / each.sum()
        return found

    def choose(self, observation: np.ndarray, rng: np.random.Generator) -> int:
        """A move's place in `MOVES`."""
        return int(rng.choice(len(MOVES), p=self.probabilities(observation)))

    def save(self, folder: Path) -> None:
        """Writes it: the numbers as NPZ, and a manifest."""
        folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        logits, slopes = np.asarray(self.policy.logits), np.asarray(self.policy.slopes)
        np.savez(content, logits=logits, slopes=slopes, mean=self.mean, scale=self.scale)
        publish(folder / "moves.npz", lambda file: file.write(content.getvalue()), label="moves")
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        manifest = {"schema": SCHEMA_VERSION, "moves": list(MOVES), "sha256": digest, "about": dict(self.about)}
        write_text(folder / "moves.json", json.dumps(manifest, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileError: the folder holds none, one that is damaged, or one of other moves or another version.
        """
        try:
            manifest = json.loads((folder / "moves.json").read_text(encoding="utf-8"))
            if manifest["schema"] != SCHEMA_VERSION or tuple(manifest["moves"]) != MOVES:
                raise FileError(
                    "This policy is of another version.",
                    given=f"{manifest['schema']}: {manifest['moves']}",
                    expected=f"{SCHEMA_VERSION}: {MOVES}",
                    do="learn it again.",
                )
            content = (folder / "moves.npz").read_bytes()
            if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
                raise FileError("This policy is damaged.", given=folder, expected=f"sha256 {manifest['sha256']}")
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                logits, slopes, mean, scale = (held[name] for name in _ARRAYS)
            shapes = (logits.shape, slopes.shape, mean.shape, scale.shape)
            expected = ((len(MOVES),), (FEATURES, len(MOVES)), (OBSERVED,), (OBSERVED,))
            if shapes != expected:
                raise FileError("This policy sees other campaigns.", given=shapes, expected=expected)
            about: dict[str, Any] = dict(manifest["about"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise FileError(
                "This folder holds no policy that can be read.", given=f"{folder}: {error}", do="learn it again."
            ) from error
        return cls(SoftmaxPolicy(jnp.asarray(logits), jnp.asarray(slopes)), mean, scale, about)

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        # One choice at a time is faster in NumPy than in JAX.
        return np.asarray(self.policy.logits, np.float64), np.asarray(self.policy.slopes, np.float64)
