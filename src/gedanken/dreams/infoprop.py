"""Infoprop: roll out only what the ensemble knows, and stop where information about the real state is lost.

Frauenknecht, Subhasish, Solowjow, Trimpe: On Rollouts in Model-Based Reinforcement Learning, ICLR 2025, 2501.16918.

Each of E members predicts the next observation as a Gaussian; per dimension, member e says N(mu_e, s_e^2). Members are
read as noisy observations of the one true next observation. With everything per dimension:

    (1)  fused variance      V   = [ (1/E) sum_e s_e^-2 ]^-1              what the world itself scatters
    (2)  fused mean          m   = V (1/E) sum_e mu_e s_e^-2              members weighted by their precision
    (3)  epistemic variance  W   = (1/E) sum_e (mu_e - m)^2               the observation noise: disagreement
    (4)  Kalman gain         K   = V / (V + W)                            1 where members agree, 0 where they do not
    (5)  next observation    x'  ~ N(m, V)                                only the aleatoric part is propagated
    (6)  conditional variance C  = (1 - K) V = V W / (V + W)              what stays unknown of the true observation
    (7)  entropy in bits     h   = 1/2 log2(2 pi e C)

On the model's answers for real data, with the quantiles q_low and q_high over the data:

    (8)  bin                 b   = q_low(h) - 1                           one bit is lost on the best-known data
    (9)  information lost    H   = max(0, h - b)
    (10) limit of one step   l_1 = q_high(H)
    (11) limit of a rollout  l_2 = length * q_low(H)

A rollout is cut where, in any dimension, H > l_1, or H summed since the start > l_2. The transition that broke a limit
is not kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.dreams.truncation import Ruling, check_quantile, over_data, require_fit
from gedanken.errors import ConfigError
from gedanken.models.contract import Members, State, VectorModel

_SMALLEST = 1e-20  # variance; float32 divides by it safely


class Fused(NamedTuple):
    """The members' predictions as one, [B, D] each: m, V, W, K and C of equations (1) to (6)."""

    mean: jax.Array
    variance: jax.Array
    epistemic_variance: jax.Array
    gain: jax.Array
    conditional_variance: jax.Array


def fuse(said: Members) -> Fused:
    """Equations (1) to (4) and (6) for [M, B, D] members."""
    variances = jnp.maximum(said.std**2, _SMALLEST)
    # Relative to the smallest variance, so that squares of tiny deviations do not overflow when inverted.
    smallest = variances.min(0)
    precision = smallest / variances
    total = precision.mean(0)
    variance = smallest / total
    mean = (precision * said.mean).mean(0) / total
    epistemic = ((said.mean - mean) ** 2).mean(0)
    # V W / (V + W) rather than (1 - K) V: the latter cancels to noise where members nearly agree.
    whole = variance + epistemic
    return Fused(mean, variance, epistemic, variance / whole, variance * (epistemic / whole))


def entropy(variance: jax.Array) -> jax.Array:
    """Equation (7): the differential entropy of a Gaussian in bits."""
    return 0.5 * jnp.log2(2.0 * jnp.pi * jnp.e * variance)


class Infoprop(eqx.Module):
    """The rule; `fit` it before use.

    Args:
        length: how many steps of the best-known kind a rollout may last (11).
        low, high: the quantiles of (8), (10) and (11).
        floor, bin, per_step, accumulated: [D], measured by `fit`. Conditional variances under `floor` (a thousandth of
            the typical aleatoric deviation, squared) are rounding, and count as `floor`.
    """

    length: int = eqx.field(default=1000, static=True)
    low: float = 0.01
    high: float = 0.99
    floor: Any = None
    bin: Any = None
    per_step: Any = None
    accumulated: Any = None

    def __check_init__(self) -> None:
        check_quantile("low", self.low)
        check_quantile("high", self.high)
        if self.length < 1:
            raise ConfigError("Infoprop's length is too short.", given=self.length, expected="1 or more steps")

    def fit(self, model: VectorModel, observations: Any, actions: Any) -> Self:
        """Measures the limits on [N, D] real observations and [N, A] encoded actions.

        Raises:
            ConfigError: there are no data, or they are not finite or of other sizes than the model's.
        """
        variance, conditional_variance = over_data(_variances, model, observations, actions)
        # In NumPy, which compiles nothing: the number of rows changes from fit to fit.
        floor = np.maximum(1e-6 * np.median(variance, axis=0), _SMALLEST)
        bits = 0.5 * np.log2(2.0 * np.pi * np.e * np.maximum(conditional_variance, floor))
        bin_ = np.quantile(bits, self.low, axis=0) - 1.0
        lost = np.maximum(bits - bin_, 0.0)
        measured = {
            "floor": floor,
            "bin": bin_,
            "per_step": np.quantile(lost, self.high, axis=0),
            "accumulated": self.length * np.quantile(lost, self.low, axis=0),
        }
        return type(self)(
            length=self.length,
            low=self.low,
            high=self.high,
            **{name: jnp.asarray(value, jnp.float32) for name, value in measured.items()},
        )

    def begin(self, batch: int) -> Any:
        require_fit(self, self.per_step)
        return jnp.zeros((batch, self.per_step.shape[0]))

    def step(self, model: VectorModel, state: State, action: Any, key: jax.Array, memory: Any) -> Ruling:
        """`memory` is the information lost since the start, [B, D] bits."""
        require_fit(self, self.per_step)
        noise_key, conclude_key = jax.random.split(key)
        fused = fuse(model.members(state, action))
        noise = jax.random.normal(noise_key, fused.mean.shape)
        following = fused.mean + jnp.sqrt(fused.variance) * noise
        imagined = model.conclude(state, action, following, conclude_key)._replace(
            epistemic=jnp.sqrt(fused.epistemic_variance), aleatoric=jnp.sqrt(fused.variance)
        )
        lost = self.lost(fused.conditional_variance)
        total = memory + lost
        # The slack keeps rounding from cutting where a rollout sits exactly on a limit.
        cut = (exceeds(lost, self.per_step) | exceeds(total, self.accumulated)).any(-1)
        return Ruling(imagined, keep=~cut, cut=cut, memory=total)

    def lost(self, conditional_variance: jax.Array) -> jax.Array:
        """Equation (9): [B, D] conditional variances -> [B, D] bits lost in this step, 0 or more."""
        return jnp.maximum(entropy(jnp.maximum(conditional_variance, self.floor)) - self.bin, 0.0)


def _variances(observations: jax.Array, said: Members) -> tuple[jax.Array, jax.Array]:  # noqa: ARG001
    fused = fuse(said)
    return fused.variance, fused.conditional_variance


def exceeds(value: jax.Array, limit: jax.Array) -> jax.Array:
    """Whether `value` is above `limit` by more than rounding."""
    return value > limit * (1.0 + 1e-4) + 1e-3
