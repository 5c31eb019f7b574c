"""Recalibration of imagined rewards by anchors: steps of which the real reward is known beside the imagined one.

Two corrections, each learned and each judged on anchors it has not seen: a *monotone map* of the imagined reward, and a
small *residual*, what is still missing as a function of where the step leads. A map of the reward alone cannot mend a
bias that depends on the state; a residual alone needs more anchors for what a map knows at once. Whichever does not
help by more than chance stays off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from gedanken.errors import ConfigError
from gedanken.models.monotone import MonotoneMap, fit_on_host

Floats = NDArray[np.float64]
KINDS = ("identity", "monotone", "residual", "monotone and residual")
"""What a recalibration can be, the simplest first."""
_LENGTHS, _RIDGES = (0.5, 1.0, 2.0), (0.02, 0.5)
_CLIP = 10.0


@dataclass(frozen=True)
class RecalibrationConfig:
    """How imagined rewards are recalibrated."""

    least: int = 32
    """anchors below which nothing is changed"""
    knots: int = 32
    """of the monotone map"""
    per_bin: int = 8
    """anchors averaged before the map is fitted"""
    centres: int = 128
    """of the residual: the most anchors that it is built around"""
    folds: int = 5
    """parts of the anchors that are held out in turn"""

    def __post_init__(self) -> None:
        if self.knots < 2 or self.per_bin < 1 or self.centres < 1 or self.folds < 2 or self.least < 2 * self.folds:
            raise ConfigError(
                "A recalibration cannot be fitted like this.",
                given=self,
                expected="knots, folds >= 2, per_bin, centres >= 1, and least at least twice the folds",
            )


class Anchors(NamedTuple):
    """N steps whose real reward is known.

    imagined, real: [N] rewards. features: [N, F] where each step led to, see `gedanken.models.anchored`.
    episode: [N] whose step it is; steps of one episode resemble each other, and are held out together.
    variance: [N] of the real reward as it was reported. importance: [N] 1 / probability with which it was chosen.
    Anything not finite is unknown, and an anchor of which anything is unknown has no say: it never counts as 0.
    """

    imagined: Floats
    real: Floats
    features: Floats
    episode: NDArray[np.int64]
    variance: Floats
    importance: Floats

    @classmethod
    def even(cls, imagined: Any, real: Any, features: Any, episode: Any) -> Anchors:
        """Anchors that all say the same much."""
        same = np.ones(len(real))
        x, y, z = (np.asarray(each, np.float64) for each in (imagined, real, features))
        return cls(x, y, z, np.asarray(episode, np.int64), same, same)

    def known(self) -> Anchors:
        """Those of which everything is known.

        Raises:
            ConfigError: the parts differ in length, or a variance or an importance is not above 0.
        """
        if len({len(each) for each in self}) != 1:
            raise ConfigError("The parts of anchors differ in length.", given=[len(each) for each in self])
        finite = np.isfinite(self.features).all(1)
        for each in (self.imagined, self.real, self.variance, self.importance):
            finite &= np.isfinite(each)
        rows = self._replace(**{name: part[finite] for name, part in self._asdict().items()})
        for name, part in (("variance", rows.variance), ("importance", rows.importance)):
            if (part <= 0.0).any():
                raise ConfigError(
                    f"An anchor's {name} must be above 0.", given=float(part.min()), do="or NaN: unknown."
                )
        return rows

    def weights(self) -> Floats:
        """[N] the say of each, with mean 1: inverse variance, and inverse probability of having been chosen."""
        raw = self.importance / self.variance
        weight: Floats = raw / raw.mean()
        return weight

    def pick(self, rows: NDArray[Any]) -> Anchors:
        """Some of them."""
        return Anchors(*(part[rows] for part in self))


class Residual(eqx.Module):
    """Kernel ridge regression on M centres: what is known near the anchors fades to 0 away from them.

    shift, scale: [F] standardise the features. centres: [M, F] standardised. coefficients: [M]. length: [].
    """

    shift: Any
    scale: Any
    centres: Any
    coefficients: Any
    length: Any

    @classmethod
    def none(cls, features: int, centres: int) -> Residual:
        """Is 0 everywhere."""
        return cls(
            jnp.zeros(features), jnp.ones(features), jnp.zeros((centres, features)), jnp.zeros(centres), jnp.ones(())
        )

    def __call__(self, features: Array) -> Array:
        """[B, F] -> [B]."""
        added: Array = self._added(jnp, features)
        return added

    def on_host(self, features: Floats) -> Floats:
        """The same in NumPy: nothing is compiled, whatever the shape."""
        added: Floats = jax.tree.map(np.asarray, self)._added(np, features)
        return added

    def _added(self, xp: Any, features: Any) -> Any:
        z = xp.clip((features - self.shift) / self.scale, -_CLIP, _CLIP)
        return _kernel(xp, z, self.centres, self.length) @ self.coefficients


class Recalibration(eqx.Module):
    """From an imagined reward to the one that the world would pay, and why like this.

    map, residual: the two corrections; residual adds to what the map says. use_map, use_residual: [] bool.
    anchors: [] int32, how many known ones it rests on. errors: [4] held-out root-mean-square error of each of `KINDS`,
        NaN where it was not measured. excess: [4] how far the squared errors lie above the best, and
        excess_error: [4] the standard error of that.
    """

    map: MonotoneMap
    residual: Residual
    use_map: Any
    use_residual: Any
    anchors: Any
    errors: Any
    excess: Any
    excess_error: Any

    @classmethod
    def identity(cls, features: int, config: RecalibrationConfig, *, anchors: int = 0) -> Recalibration:
        """Changes nothing."""
        unknown = jnp.full(len(KINDS), jnp.nan, jnp.float32)
        no = jnp.zeros((), bool)
        return cls(
            map=MonotoneMap.identity(config.knots),
            residual=Residual.none(features, config.centres),
            use_map=no,
            use_residual=no,
            anchors=jnp.asarray(anchors, jnp.int32),
            errors=unknown,
            excess=unknown,
            excess_error=unknown,
        )

    def __call__(self, reward: Array, features: Array) -> Array:
        """[B], [B, F] -> [B]. An unknown reward stays unknown."""
        mapped = jnp.where(self.use_map, self.map(reward), reward)
        return mapped + jnp.where(self.use_residual, self.residual(features), 0.0)

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return KINDS[int(self.use_map) + 2 * int(self.use_residual)]

    @property
    def error(self) -> float | None:
        """Its held-out root-mean-square error; None where it was not measured."""
        return self._error_of(self.kind)

    @property
    def error_without(self) -> float | None:
        """The same of the rewards as they were imagined."""
        return self._error_of("identity")

    def _error_of(self, kind: str) -> float | None:
        found = float(np.asarray(self.errors)[KINDS.index(kind)])
        return found if math.isfinite(found) else None

    @property
    def reason(self) -> str:
        """Why it is that one, with the numbers."""
        count = int(self.anchors)
        errors = np.asarray(self.errors, np.float64)
        if not np.isfinite(errors).any():
            return f"{count} anchors are too few to change anything"
        listed = ", ".join(f"{kind} {error:.3g}" for kind, error in zip(KINDS, errors, strict=True))
        return (
            f"held-out error of {count} anchors: {listed}; "
            f"{self.kind} is the simplest that is within one standard error of the best"
        )

    def on_host(self, reward: Floats, features: Floats) -> Floats:
        """The same as a call, in NumPy: nothing is compiled, whatever the shape."""
        mapped = self.map.on_host(reward) if bool(self.use_map) else reward
        return mapped + self.residual.on_host(features) if bool(self.use_residual) else mapped

    def to_json(self) -> dict[str, Any]:
        """The choice as plain data; None where an error was not measured."""
        return {
            "chosen": self.kind,
            "anchors": int(self.anchors),
            "held_out_error": {kind: self._error_of(kind) for kind in KINDS},
            "reason": self.reason,
        }


def fit_recalibration(anchors: Anchors, *, config: RecalibrationConfig, seed: int) -> Recalibration:
    """The simplest recalibration whose held-out error is within one standard error of the best one's.

    Args:
        anchors: unknown ones have no say. Fewer than `config.least` known ones change nothing.
        config: sizes.
        seed: of the folds and of the residual's centres.

    Raises:
        ConfigError: see `Anchors.known`.
    """
    size = anchors.features.shape[1]
    rows = anchors.known()
    if len(rows.real) < config.least:
        return Recalibration.identity(size, config, anchors=len(rows.real))
    rng = np.random.default_rng(seed)
    groups = np.unique(rows.episode, return_inverse=True)[1]
    if groups.max() + 1 < config.folds:
        groups = np.arange(len(rows.real))
    fold = rng.permutation(groups.max() + 1)[groups] % config.folds
    squares = _held_out(rows, fold, config, rng)
    best = {kind: min(found, key=lambda each: squares[each].mean()) for kind, found in _by_kind(squares).items()}
    errors = np.array([squares[best[kind]].mean() for kind in KINDS])
    excess, doubt = _above_best(np.stack([squares[best[kind]] for kind in KINDS]), groups)
    chosen = best[KINDS[int(np.argmax(excess <= doubt))]]
    monotone, residual = _corrections(rows, chosen, config, rng)
    fitted = Recalibration(
        map=MonotoneMap.identity(config.knots) if monotone is None else monotone,
        residual=Residual.none(size, config.centres) if residual is None else residual,
        use_map=np.asarray(monotone is not None),
        use_residual=np.asarray(residual is not None),
        anchors=np.int32(len(rows.real)),
        errors=np.sqrt(errors).astype(np.float32),
        excess=excess.astype(np.float32),
        excess_error=doubt.astype(np.float32),
    )
    on_device: Recalibration = jax.tree.map(jnp.asarray, fitted)
    return on_device


class _Candidate(NamedTuple):
    """A map or none, and a residual of this length and ridge, or none."""

    map: bool
    length: float | None
    ridge: float

    @property
    def kind(self) -> str:
        return KINDS[int(self.map) + 2 * int(self.length is not None)]


def _candidates() -> Iterator[_Candidate]:
    for use_map in (False, True):
        yield _Candidate(use_map, None, 0.0)
        yield from (_Candidate(use_map, length, ridge) for length in _LENGTHS for ridge in _RIDGES)


def _by_kind(squares: dict[_Candidate, Floats]) -> dict[str, list[_Candidate]]:
    return {kind: [each for each in squares if each.kind == kind] for kind in KINDS}


def _held_out(
    rows: Anchors, fold: NDArray[np.int64], config: RecalibrationConfig, rng: np.random.Generator
) -> dict[_Candidate, Floats]:
    """[N] weighted squared error of every anchor, by each candidate fitted without the anchor's fold."""
    weight = rows.weights()
    squares = {each: np.zeros(len(weight)) for each in _candidates()}
    for number in range(config.folds):
        inside, outside = fold != number, fold == number
        seen, unseen = rows.pick(inside), rows.pick(outside)
        drawn = int(rng.integers(2**31))
        for candidate, found in squares.items():
            monotone, residual = _corrections(seen, candidate, config, np.random.default_rng(drawn))
            said = unseen.imagined if monotone is None else monotone.on_host(unseen.imagined)
            if residual is not None:
                said = said + residual.on_host(unseen.features)
            found[outside] = weight[outside] * np.square(said - unseen.real)
    return squares


def _above_best(squares: Floats, groups: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """[C, N] squared errors -> how far each candidate's mean is above the best, and the standard error, over groups."""
    best = int(squares.mean(1).argmin())
    above = squares - squares[best]
    count = groups.max() + 1
    size = np.bincount(groups)
    mean = above.mean(1)
    spread = np.array([np.bincount(groups, each) for each in above]) - mean[:, None] * size
    error: Floats = np.sqrt(count / (count - 1) * np.square(spread).sum(1)) / len(groups)
    return mean, error


def _corrections(
    rows: Anchors, candidate: _Candidate, config: RecalibrationConfig, rng: np.random.Generator
) -> tuple[MonotoneMap | None, Residual | None]:
    """The candidate fitted to these anchors."""
    weight, missing, monotone, residual = rows.weights(), rows.real - rows.imagined, None, None
    if candidate.map:
        monotone = fit_on_host(
            imagined=rows.imagined, real=rows.real, weight=weight, knots=config.knots, per_bin=config.per_bin
        )
        missing = rows.real - monotone.on_host(rows.imagined)
    if candidate.length is not None:
        length = candidate.length * math.sqrt(rows.features.shape[1])
        residual = _fit_residual(rows.features, missing, weight, length, candidate.ridge, config.centres, rng)
    return monotone, residual


def _fit_residual(
    features: Floats,
    missing: Floats,
    weight: Floats,
    length: float,
    ridge: float,
    centres: int,
    rng: np.random.Generator,
) -> Residual:
    """Kernel ridge regression on at most `centres` of the rows (subset of regressors)."""
    shift, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 1e-6 * np.maximum(1.0, np.abs(shift)), spread, 1.0)
    z = np.clip((features - shift) / scale, -_CLIP, _CLIP)
    chosen = np.sort(rng.permutation(len(z))[:centres])
    middle = z[chosen]
    near, among = _kernel(np, z, middle, length), _kernel(np, middle, middle, length)
    # The last term keeps coefficients so small that float32 can add them up.
    system = near.T @ (weight[:, None] * near) + ridge * among + 1e-3 * np.eye(len(chosen))
    coefficients = np.linalg.solve(system, near.T @ (weight * missing))
    spare = centres - len(chosen)
    return Residual(
        shift=shift.astype(np.float32),
        scale=scale.astype(np.float32),
        centres=np.pad(middle, ((0, spare), (0, 0))).astype(np.float32),
        coefficients=np.pad(coefficients, (0, spare)).astype(np.float32),
        length=np.float32(length),
    )


def _kernel(xp: Any, a: Any, b: Any, length: Any) -> Any:
    """[A, F], [B, F] -> [A, B]: 1 where both are the same, 0 far apart."""
    squares = xp.square(a).sum(1)[:, None] - 2.0 * a @ b.T + xp.square(b).sum(1)
    return xp.exp(-0.5 * xp.maximum(squares, 0.0) / length**2)
