"""What is the policy worth, by a value function fitted to logged transitions? No weights, no model of the world.

Fitted Q evaluation (Le, Voloshin & Yue 2019) for a fixed horizon: Q_k(s, a) is what the policy earns in k more steps,
Q_0 = 0, and Q_k is the least-squares fit of r + discount * Q_(k-1)(s', policy(s')) to all logged transitions, so that
Q_H(s_0, policy(s_0)) is the return over H steps, and no Q is bootstrapped from itself. Q is linear in
fixed features of observation and action: both standardised, all their products where there are not too many (exact for
linear-quadratic and tabular worlds), and random Fourier features of three widths (Rahimi & Recht 2007). Targets are cut
to what rewards like the logged ones can add up to, so that nothing diverges.

Episodes are dealt into folds. A fit to all of them gives the value; a fit without each fold gives its interval (the
delete-a-group jackknife, which refits and so knows how uncertain the fit is), and the cross-fitted Q that doubly robust
estimation needs. The interval says nothing of what the features cannot represent, nor of actions nobody logged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.stats
from numpy.typing import NDArray

from gedanken.dreams.rollout import Policy
from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval
from gedanken.evidence.logged import (
    Floats,
    HasLogProbability,
    Logged,
    deterministic,
    in_chunks,
    logged,
    power_of_two,
    says_probabilities,
)
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode

_WIDTHS = (0.25, 0.5, 1.0)
_REACH = 5.0
"""Standardised inputs are cut here, so that a far observation does not blow up its products."""


@dataclass(frozen=True)
class FittedQ:
    """Settings of fitted Q evaluation."""

    fourier: int = 384
    """random Fourier features"""
    products_up_to: int = 24
    """products of inputs are features where observation and action have at most so many numbers together"""
    ridge: float = 1e-3
    """penalty on the weights, times the number of transitions; above 0"""
    rows: int = 10_000
    """transitions to fit to, drawn evenly where more were logged"""
    folds: int = 10
    draws: int = 4
    """actions drawn from a stochastic policy at each observation; choices are averaged exactly"""


class Features(eqx.Module):
    """(observation [B, D], action [B, A]) -> [B, F], uncorrelated and of size 1 over the transitions of the fit."""

    mean: jax.Array
    scale: jax.Array
    frequencies: jax.Array
    phases: jax.Array
    mix: jax.Array
    products: bool = eqx.field(static=True)

    def __call__(self, observation: Any, action: Any) -> jax.Array:
        return self.raw(observation, action) @ self.mix

    def raw(self, observation: Any, action: Any) -> jax.Array:
        """Before they are made uncorrelated."""
        x = jnp.concatenate([observation, action], -1)
        x = jnp.clip((x - self.mean) / self.scale, -_REACH, _REACH)
        waves = math.sqrt(2.0) * jnp.cos(x @ self.frequencies + self.phases)
        parts = [jnp.ones((len(x), 1)), x, waves]
        if self.products:
            rows, columns = np.triu_indices(x.shape[1])
            parts.append(x[:, rows] * x[:, columns])
        return jnp.concatenate(parts, -1)


class CrossFittedQ(NamedTuple):
    """Q_k for k = 0..H of one fit to everything and K fits that each left out one fold.

    weights: [H + 1, F, 1 + K]; least, most: [H + 1], what k rewards can add up to; fold: [E], of each episode.
    """

    features: Features
    weights: NDArray[np.float32]
    least: Floats
    most: Floats
    fold: NDArray[np.int64]
    draws: int

    @property
    def folds(self) -> int:
        return int(self.weights.shape[2]) - 1

    def value(self, policy_features: NDArray[np.float32], to_go: Any, fit: Any) -> Floats:
        """[..., F] features, [...] steps to go, [...] which fit (0: of everything, 1 + k: without fold k) -> [...]."""
        found = np.einsum("...f,...f->...", policy_features, self.weights[to_go, :, fit])
        cut: Floats = np.clip(found, self.least[to_go], self.most[to_go])
        return cut


def fitted_q_evaluation(
    episodes: Sequence[Episode],
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    discount: float = 1.0,
    confidence: float = 0.95,
    settings: FittedQ | None = None,
) -> Interval:
    """Estimates the return of `policy` over `horizon` steps from transitions of other policies.

    Args:
        episodes: logged; they must start as those of the policy would. Cut ones count as well.
        policy: the target, stochastic or not.
        codec: how observations and actions become vectors.
        horizon: the time limit of the world.
        key: of the features, the folds, and the transitions and actions that are drawn.
        discount: of a reward for each step before it.
        confidence: of the interval.
        settings: of the fit.
    """
    logs = logged(episodes, codec, horizon=horizon)
    if logs.episodes == 0:
        return Interval.missing("there are no logged episodes")
    settings = settings if settings is not None else FittedQ()
    fit = fit_q(logs, policy, codec, horizon=horizon, key=key, discount=discount, settings=settings)
    return value_at_start(fit, logs, policy, codec, horizon=horizon, key=key, confidence=confidence)


def value_at_start(
    fit: CrossFittedQ,
    logs: Logged,
    policy: Policy,
    codec: Codec,
    *,
    horizon: int,
    key: jax.Array,
    confidence: float,
) -> Interval:
    """The mean of Q_H over the logged starts, with its jackknife interval over folds of episodes."""
    features = features_of_policy(fit, policy, codec, logs.observation[:, 0], key)
    count, folds = logs.episodes, fit.folds
    value = float(fit.value(features, horizon, 0).mean())
    if folds < 2:
        return Interval(value, None, None, count, confidence, reason="one episode has no spread")
    without = np.array([fit.value(features[fit.fold != k], horizon, 1 + k).mean() for k in range(folds)])
    error = math.sqrt((folds - 1) / folds * float(np.square(without - without.mean()).sum()))
    half = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, folds - 1)) * error
    return Interval(value, value - half, value + half, count, confidence, "jackknife-t")


# --- Fitting --------------------------------------------------------------------------------------------------------


def fit_q(
    logs: Logged, policy: Policy, codec: Codec, *, horizon: int, key: jax.Array, discount: float, settings: FittedQ
) -> CrossFittedQ:
    """Fits Q_1 .. Q_H to everything and without each fold.

    Raises:
        ConfigError: no episode was logged, or a reward is not finite.
    """
    if logs.episodes == 0:
        raise ConfigError("There is nothing to fit a value function to.", given="no logged episodes")
    if not np.isfinite(logs.reward).all():
        raise ConfigError("A logged reward is not finite.", given=f"{int((~np.isfinite(logs.reward)).sum())} of them")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    episode, step = np.nonzero(logs.recorded)
    if len(episode) > settings.rows:
        chosen = np.sort(rng.choice(len(episode), settings.rows, replace=False))
        episode, step = episode[chosen], step[chosen]
    folds = min(settings.folds, logs.episodes)
    fold = rng.permutation(np.arange(logs.episodes) % folds)

    observation, action = logs.observation[episode, step], logs.action[episode, step]
    features = _features(observation, action, codec, rng, settings)
    unfinished = CrossFittedQ(features, np.zeros((0, 0, 0), np.float32), *_bounds(logs, horizon, discount), fold, 0)
    fit = unfinished._replace(draws=1 if deterministic(policy, observation, key) else settings.draws)
    here = in_chunks(logged_features, features, observation, action)
    after = features_of_policy(fit, policy, codec, logs.observation[episode, step + 1], key)
    # A single episode cannot be left out.
    left_out = range(folds) if folds > 1 else ()
    used = np.stack([np.ones(len(episode), bool), *(fold[episode] != k for k in left_out)], 1)
    weights = _iterate(
        _padded(here),
        _padded(after),
        _padded(logs.reward[episode, step]),
        _padded(discount * ~logs.terminated[episode, step]),
        _padded(used),
        _inverses(features, here, used, settings.ridge),
        fit.least[:-1].astype(np.float32),
        fit.most[:-1].astype(np.float32),
    )
    start = np.zeros((1, *weights.shape[1:]), np.float32)
    return fit._replace(weights=np.concatenate([start, np.asarray(weights)]))


def features_of_policy(
    fit: CrossFittedQ, policy: Policy, codec: Codec, observation: NDArray[np.float32], key: jax.Array
) -> NDArray[np.float32]:
    """[N, D] -> [N, F]: features of the observation and the policy's action, averaged over its actions."""
    if codec.choices and says_probabilities(policy):
        expected = partial(_expected_over_choices, fit.features, codec.choices)
        return in_chunks(expected, policy, observation)
    return in_chunks(
        partial(_drawn_features, fit.features, bool(codec.choices), fit.draws), policy, observation, key=key
    )


def _features(
    observation: NDArray[np.float32],
    action: NDArray[np.float32],
    codec: Codec,
    rng: np.random.Generator,
    settings: FittedQ,
) -> Features:
    x = np.concatenate([observation, action], 1).astype(np.float64)
    size = x.shape[1]
    std = x.std(0)
    width = np.resize(np.repeat(_WIDTHS, -(-settings.fourier // len(_WIDTHS))), settings.fourier) * math.sqrt(size)
    unmixed = Features(
        mean=jnp.asarray(x.mean(0), jnp.float32),
        scale=jnp.asarray(np.where(std > 1e-6 * np.maximum(1.0, np.abs(x).max(0)), std, 1.0), jnp.float32),
        frequencies=jnp.asarray(rng.standard_normal((size, settings.fourier)) / width, jnp.float32),
        phases=jnp.asarray(rng.uniform(0.0, 2.0 * math.pi, settings.fourier), jnp.float32),
        mix=jnp.zeros((0, 0)),
        products=codec.observation_size + codec.action_size <= settings.products_up_to,
    )
    raw = in_chunks(_raw_features, unmixed, observation, action).astype(np.float64)
    gram = raw.T @ raw / len(raw) + settings.ridge * _penalised(raw.shape[1])
    lower = np.linalg.cholesky(gram)
    mix = scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True).T
    mixed: Features = eqx.tree_at(lambda f: f.mix, unmixed, jnp.asarray(mix, jnp.float32))
    return mixed


def _penalised(size: int) -> Floats:
    """[F, F]: which raw features the ridge shrinks: all but the constant, or every step to go would lose a share."""
    return np.diag(np.r_[0.0, np.ones(size - 1)])


def _inverses(
    features: Features, here: NDArray[np.float32], used: NDArray[np.bool_], ridge: float
) -> NDArray[np.float32]:
    """[1 + K, F, F]: what turns the sums of features times targets of one fit into its weights."""
    wide, mix = here.astype(np.float64), np.asarray(features.mix, np.float64)
    everything, penalty = wide.T @ wide, ridge * mix.T @ _penalised(len(mix)) @ mix
    found = []
    for column in used.T:
        left_out = wide[~column]
        gram = everything - left_out.T @ left_out + int(column.sum()) * penalty
        found.append(scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram), np.eye(len(gram))))
    return np.asarray(found, np.float32)


def _padded(column: NDArray[Any]) -> NDArray[np.float32]:
    """[N, ...] -> rows of 0 behind, which no fit uses."""
    missing = power_of_two(len(column)) - len(column)
    return np.pad(column.astype(np.float32), [(0, missing)] + [(0, 0)] * (column.ndim - 1))


def _bounds(logs: Logged, horizon: int, discount: float) -> tuple[Floats, Floats]:
    """[H + 1] twice: the least and the most that k steps can bring, with rewards like the logged ones."""
    rewards = logs.reward[logs.recorded]
    all_steps = np.concatenate([[0.0], np.cumsum(discount ** np.arange(horizon))])
    # Where episodes can end, what is bad may go on for all of the steps, and what is good may end after one.
    one_step = np.minimum(all_steps, 1.0) if logs.terminated.any() else all_steps
    low, high = float(rewards.min()), float(rewards.max())
    return low * (all_steps if low < 0.0 else one_step), high * (all_steps if high > 0.0 else one_step)


@eqx.filter_jit
def _iterate(
    here: Any, after: Any, reward: Any, onward: Any, used: Any, inverses: Any, least: Any, most: Any
) -> jax.Array:
    """[N, F] twice, [N] twice, [N, 1 + K], [1 + K, F, F], [H] twice -> weights of Q_1 .. Q_H [H, F, 1 + K]."""

    def step(weights: jax.Array, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        following = jnp.clip(after @ weights, *bounds)
        targets = used * (reward[:, None] + onward[:, None] * following)
        fitted = jnp.einsum("kfg,gk->fk", inverses, here.T @ targets)
        return fitted, fitted

    start = jnp.zeros((here.shape[1], used.shape[1]))
    weights: jax.Array
    _, weights = jax.lax.scan(step, start, (least, most))
    return weights


@eqx.filter_jit
def _raw_features(features: Features, observation: Any, action: Any) -> jax.Array:
    return features.raw(observation, action)


@eqx.filter_jit
def logged_features(features: Features, observation: Any, action: Any) -> jax.Array:
    """[N, D], [N, A] -> [N, F], compiled."""
    return features(observation, action)


@eqx.filter_jit
def _drawn_features(
    features: Features, choices: bool, draws: int, policy: Policy, observation: Any, key: jax.Array
) -> jax.Array:
    def one(key: jax.Array) -> jax.Array:
        action = policy(observation, key)
        if choices:
            action = jax.nn.one_hot(action.argmax(-1), action.shape[-1])
        return features(observation, action)

    return jnp.stack([one(each) for each in jax.random.split(key, draws)]).mean(0)


@eqx.filter_jit
def _expected_over_choices(features: Features, choices: int, policy: HasLogProbability, observation: Any) -> jax.Array:
    def one(choice: jax.Array) -> jax.Array:
        action = jnp.broadcast_to(choice, (len(observation), choices))
        return jnp.exp(policy.log_probability(observation, action))[:, None] * features(observation, action)

    return jnp.stack([one(choice) for choice in jnp.eye(choices)]).sum(0)
