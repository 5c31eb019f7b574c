"""The small networks that models and agents are made of, batched by nature: every input is [..., features].

Weights are stored as [inputs, outputs], so that a layer is one plain matrix product without a transpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Linear(eqx.Module):
    """`x @ weight + bias`; weights uniform in +-1/sqrt(inputs), or of `scale` times that.

    NumPy draws them, from the key: `jax.random` would compile a program for each shape, which in a short run takes
    longer than all that is then done with them. So a network is made outside of `jit` and `vmap`.
    """

    weight: Array
    bias: Array

    def __init__(self, inputs: int, outputs: int, *, key: Array, scale: float = 1.0) -> None:
        limit = scale / math.sqrt(inputs)
        drawn = np.random.default_rng(np.asarray(jax.random.key_data(key))).uniform(-limit, limit, (inputs, outputs))
        self.weight = jnp.asarray(drawn, jnp.float32)
        self.bias = jnp.asarray(np.zeros(outputs, np.float32))

    def __call__(self, x: Array) -> Array:
        return x @ self.weight + self.bias


class LayerNorm(eqx.Module):
    """Layer normalisation over the last axis (Ba et al. 2016), with a learned scale and shift."""

    scale: Array
    shift: Array

    def __init__(self, size: int) -> None:
        self.scale = jnp.asarray(np.ones(size, np.float32))
        self.shift = jnp.asarray(np.zeros(size, np.float32))

    def __call__(self, x: Array) -> Array:
        mean = x.mean(-1, keepdims=True)
        # E[x^2] - E[x]^2 lets both sums be taken in one pass over the row.
        variance = jnp.maximum((x * x).mean(-1, keepdims=True) - mean * mean, 0.0)
        return (x - mean) * (jax.lax.rsqrt(variance + 1e-5) * self.scale) + self.shift


class MLP(eqx.Module):
    """A multi-layer perceptron: `depth` hidden layers of `width`, each linear, maybe normalised, activated."""

    layers: tuple[Linear, ...]
    norms: tuple[LayerNorm, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        depth: int,
        key: Array,
        layer_norm: bool = False,
        activation: Callable[[Array], Array] = jax.nn.silu,
        final_scale: float = 1.0,
    ) -> None:
        sizes = [inputs] + [width] * depth + [outputs]
        scales = [math.sqrt(3.0)] * depth + [final_scale]
        keys = jax.random.split(key, depth + 1)
        self.layers = tuple(
            Linear(before, after, key=k, scale=scale)
            for before, after, k, scale in zip(sizes[:-1], sizes[1:], keys, scales, strict=True)
        )
        self.norms = tuple(LayerNorm(width) for _ in range(depth)) if layer_norm else ()
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        for index, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            if self.norms:
                x = self.norms[index](x)
            x = self.activation(x)
        return self.layers[-1](x)


class Standardiser(eqx.Module):
    """Shifts and scales each feature to mean 0 and standard deviation 1, and back.

    A feature that never varied keeps a standard deviation of 0 on the way back (it is predicted exactly) and of 1 on
    the way in (it is only shifted).
    """

    mean: Array
    std: Array

    @classmethod
    def identity(cls, size: int) -> Standardiser:
        return cls(jnp.zeros(size), jnp.ones(size))

    @classmethod
    def of(cls, values: Array, weights: Array) -> Standardiser:
        """Fits to rows [N, F] weighted by [N]; a row of weight 0 has no say, whatever it holds."""
        counts = weights[:, None] > 0
        values = jnp.where(counts, values, 0.0)
        share = weights / jnp.maximum(weights.sum(), 1.0)
        mean = share @ values
        variance = share @ jnp.square(values - mean)
        # Float32 sums leave a residue where a feature is constant; its largest value is exact.
        largest = jnp.where(counts, values, -jnp.inf).max(0)
        smallest = jnp.where(counts, values, jnp.inf).min(0)
        constant = largest - smallest <= 1e-6 * jnp.abs(mean)
        return cls(jnp.where(largest == smallest, largest, mean), jnp.where(constant, 0.0, jnp.sqrt(variance)))

    def into(self, values: Array) -> Array:
        return (values - self.mean) / jnp.where(self.std > 0, self.std, 1.0)

    def back(self, standard: Array) -> Array:
        return self.mean + self.std * standard
