"""A monotone map from imagined to real numbers, learned from pairs: what a model says, made into what the world pays.

Isotonic and not affine on purpose: an agent that normalises its advantages undoes every affine correction by itself.
The fit is *centred* isotonic regression (Oron & Flournoy 2017): each block of pooled pairs becomes one knot at its own
centre, and between knots the map is a line. So it has a slope where the stairs of plain isotonic regression have none,
which matters to agents that learn by the gradient of the reward. From the outermost blocks it goes on to the ends.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from gedanken.errors import ConfigError

Floats = NDArray[np.float64]


class MonotoneMap(eqx.Module):
    """Non-decreasing and piecewise linear, over K knots. Pure JAX of fixed size, so that it compiles into a rollout.

    at, value: [K] the knots, `at` strictly increasing. slopes: [2] below the first and above the last knot.
    known: [] bool, False where nothing was learned: then the map is the identity, to the last bit.
    """

    at: Any
    value: Any
    slopes: Any
    known: Any

    @classmethod
    def identity(cls, knots: int) -> MonotoneMap:
        """Changes nothing."""
        line = jnp.linspace(-1.0, 1.0, knots, dtype=jnp.float32)
        return cls(line, line, jnp.ones(2, jnp.float32), jnp.zeros((), bool))

    def __call__(self, imagined: Array) -> Array:
        """What the world would have said, for imagined numbers of any shape. NaN, which is unknown, stays NaN."""
        mapped: Array = jnp.where(self.known, self._mapped(jnp, imagined), imagined)
        return mapped

    def on_host(self, imagined: ArrayLike) -> Floats:
        """The same in NumPy: nothing is compiled, whatever the shape."""
        x = np.asarray(imagined, np.float64)
        mapped: Floats = jax.tree.map(np.asarray, self)._mapped(np, x) if bool(self.known) else x
        return mapped

    def _mapped(self, xp: Any, x: Any) -> Any:
        below = self.value[0] + self.slopes[0] * (x - self.at[0])
        above = self.value[-1] + self.slopes[1] * (x - self.at[-1])
        inside = xp.interp(x, self.at, self.value)
        return xp.where(x < self.at[0], below, xp.where(x > self.at[-1], above, inside))


def fit_monotone(
    *,
    imagined: ArrayLike,
    real: ArrayLike,
    weight: ArrayLike | None = None,
    knots: int = 32,
    per_bin: int = 8,
) -> MonotoneMap:
    """The non-decreasing map of least weighted squared error, up to the resolution of bins and knots.

    Args:
        imagined, real: [N] pairs, one unit each: steps' rewards, or episodes' returns. A pair of which a part is not
            finite has no say.
        weight: [N] say of each pair, such as 1 / (variance * probability of being chosen); None is 1 for all.
        knots: K, the size of the map.
        per_bin: pairs that are averaged before anything else, so that the ends do not hang on a single pair.

    Raises:
        ConfigError: the three differ in length, a weight is negative, or `knots` or `per_bin` is too small.
    """
    fitted = fit_on_host(imagined=imagined, real=real, weight=weight, knots=knots, per_bin=per_bin)
    on_device: MonotoneMap = jax.tree.map(jnp.asarray, fitted)
    return on_device


def fit_on_host(
    *, imagined: ArrayLike, real: ArrayLike, weight: ArrayLike | None, knots: int, per_bin: int
) -> MonotoneMap:
    """`fit_monotone` with NumPy arrays as leaves: for maps that are only tried: nothing is compiled for them."""
    x, y = (np.asarray(each, np.float64) for each in (imagined, real))
    w = np.ones(x.shape) if weight is None else np.asarray(weight, np.float64)
    if x.ndim != 1 or not x.shape == y.shape == w.shape:
        raise ConfigError("Imagined and real numbers must come in pairs.", given=f"{x.shape}, {y.shape}, {w.shape}")
    if knots < 2 or per_bin < 1:
        raise ConfigError("A map needs two knots and a pair a bin.", given=f"knots={knots}, per_bin={per_bin}")
    if (w < 0.0).any():
        raise ConfigError("A pair cannot weigh less than nothing.", given=f"weight {w.min()}", expected="0 or more")
    counts = np.isfinite(x) & np.isfinite(y) & np.isfinite(w) & (w > 0.0)
    if not counts.any():
        nothing: MonotoneMap = jax.tree.map(np.asarray, MonotoneMap.identity(knots))
        return nothing
    x, y, w = x[counts], y[counts], w[counts]
    bins = _binned(x, y, w, bins=min(len(x) // per_bin, 4 * knots))
    at, value = _blocks(*bins)
    if len(at) == 1:
        # All bins in one block: the world does not care. A single bin, because the pairs are few or the model says
        # always the same: nothing is known but an offset.
        return _through(at, value, np.zeros(2) if len(bins[0]) > 1 else np.ones(2), knots)
    at, value = _to_the_ends(at, value, x, y)
    return _through(at, value, _slopes(at, value), knots)


def _binned(x: Floats, y: Floats, w: Floats, *, bins: int) -> tuple[Floats, Floats, Floats]:
    """Weighted means of x and y, and the weight, of bins of as many pairs each; equal x share a bin."""
    order = np.argsort(x, kind="stable")
    bin_of = np.empty(len(x), np.int64)
    for number, part in enumerate(np.array_split(order, max(bins, 1))):
        bin_of[part] = number
    _, same = np.unique(x, return_inverse=True)
    first = np.full(same.max() + 1, len(x))
    np.minimum.at(first, same, bin_of)
    _, bin_of = np.unique(first[same], return_inverse=True)
    total = np.bincount(bin_of, w).astype(np.float64)
    return np.bincount(bin_of, w * x) / total, np.bincount(bin_of, w * y) / total, total


def _blocks(x: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Centre and value of every block that isotonic regression pools."""
    found = isotonic_regression(y, weights=w)
    starts = found.blocks[:-1]
    return np.add.reduceat(w * x, starts) / np.add.reduceat(w, starts), found.x[starts]


def _to_the_ends(at: Floats, value: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The same with a knot at the smallest and the largest x: on from the outermost blocks as steep as there, but
    within what was seen of y.
    """
    low, high = _steepness(at, value)
    if x.min() < at[0]:
        at, value = np.append(x.min(), at), np.append(max(value[0] + low * (x.min() - at[0]), y.min()), value)
    if x.max() > at[-1]:
        at, value = np.append(at, x.max()), np.append(value, min(value[-1] + high * (x.max() - at[-1]), y.max()))
    return at, value


def _steepness(at: Floats, value: Floats) -> tuple[float, float]:
    """The slopes of the lowest and the highest quarter of two or more knots."""
    quarter = max(1, len(at) // 4)
    low = (value[quarter] - value[0]) / (at[quarter] - at[0])
    high = (value[-1] - value[-1 - quarter]) / (at[-1] - at[-1 - quarter])
    return float(low), float(high)


def _slopes(at: Floats, value: Floats) -> Floats:
    """Beyond everything that was seen: as steep as the nearest quarter, but never steeper than the whole, so that
    nothing unseen is exaggerated.
    """
    whole = (value[-1] - value[0]) / (at[-1] - at[0])
    slopes: Floats = np.minimum(_steepness(at, value), whole)
    return slopes


def _through(at: Floats, value: Floats, slopes: Floats, knots: int) -> MonotoneMap:
    """The map through these points, of `knots` knots."""
    if len(at) > knots:
        kept = np.round(np.linspace(0, len(at) - 1, knots)).astype(int)
        at, value = at[kept], value[kept]
    # Unused knots continue the upper end, so that every map has the same size.
    spare = knots - len(at)
    steps = np.arange(1, spare + 1) * max(at[-1] - at[0], abs(at[-1]), 1.0) / knots
    at, value = np.append(at, at[-1] + steps), np.append(value, value[-1] + slopes[1] * steps)
    # Neighbours that float32 cannot tell apart would divide by zero.
    at32 = at.astype(np.float32)
    for index in range(1, knots):
        at32[index] = max(at32[index], np.nextafter(at32[index - 1], np.float32(np.inf)))
    return MonotoneMap(at32, value.astype(np.float32), slopes.astype(np.float32), np.asarray(True))
