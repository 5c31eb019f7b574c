"""fit: learns an ensemble from paid transitions, stops early on held-out episodes, and calibrates it there.

Members are bootstrapped over transitions, trained by a beta-weighted Gaussian likelihood (Seitzer et al. 2022: the
plain one lets easy dimensions starve hard ones) with AdamW, warm-started from the model that is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from gedanken.errors import ConfigError
from gedanken.models.calibration import fit_calibration
from gedanken.models.contract import FitReport
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.dynamics import Dynamics, uncertainty
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.networks import Standardiser
from gedanken.models.reward import Reward


@dataclass(frozen=True)
class FitConfig:
    """How an ensemble is fitted."""

    learning_rate: float = 1e-3
    """AdamW's step size"""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay"""
    batch: int = 256
    """transitions in a minibatch of each member"""
    beta: float = 0.5
    """exponent of the variance that weighs the likelihood; 0 is the plain one, 1 is least squares for the mean"""
    chunk: int = 100
    """minibatches between two looks at the held-out episodes"""
    least: int = 500
    """minibatches at least: the first held-out episodes are few and unlike the rest, and must not stop a fit at once"""
    most: int = 2_000
    """minibatches at most"""
    patience: int = 5
    """looks without improvement after which fitting stops"""
    improvement: float = 0.01
    """relative fall of the held-out error that counts as improvement"""
    held_out_rows: int = 2_048
    """held-out transitions looked at, at most; the latest"""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.chunk < 1 or not self.chunk <= self.least <= self.most:
            raise ConfigError(
                "A fit needs at least one whole chunk of minibatches.",
                given=f"batch={self.batch}, chunk={self.chunk}, least={self.least}, most={self.most}",
                expected="batch >= 1 and 1 <= chunk <= least <= most",
            )


@dataclass(frozen=True)
class EnsembleFamily:
    """The family `ensemble`, as the loop asks it: an `Ensemble` of this architecture, fitted like this."""

    config: EnsembleConfig = field(default_factory=EnsembleConfig)
    fitting: FitConfig = field(default_factory=FitConfig)

    def create(self, observation_size: int, action_size: int, resources: tuple[str, ...], *, key: Array) -> Ensemble:
        return Ensemble(observation_size, action_size, resources, self.config, key=key)

    def fit(
        self,
        model: Ensemble,
        table: TransitionTable,
        *,
        key: Array,
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[Ensemble, FitReport]:
        return fit(model, table, key=key, config=self.fitting, progress=progress)


class _Data(NamedTuple):
    """Columns on the device, with `weight` [N]: 1 for rows to learn from, 0 for padding and held-out rows."""

    observation: Array
    action: Array
    reward: Array
    terminated: Array
    next_observation: Array
    cost: Array
    weight: Array


def fit(
    model: Ensemble,
    table: TransitionTable,
    *,
    key: Array,
    config: FitConfig | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Ensemble, FitReport]:
    """Fits dynamics and reward to the table's training rows and calibrates on its held-out rows.

    Args:
        model: where to start from; its networks are trained further, its standardisers are computed anew.
        table: encoded transitions; the capacity, not the size, decides what is compiled.
        key: randomness of bootstrap and minibatches.
        progress: called with (minibatches, held-out error) after each chunk; never where no episode is held out.

    Returns:
        The fitted model and a report.

    Raises:
        ConfigError: there is no training row.
    """
    config = config or FitConfig()
    began = time.perf_counter()
    rows = table.filled()
    train = np.flatnonzero(~rows.held_out)
    held_out = np.flatnonzero(rows.held_out)[-config.held_out_rows :]
    if len(train) == 0:
        raise ConfigError("There is nothing to fit a model to.", given="no training rows", do="collect episodes first.")
    data = _to_device(table)
    model = _standardise(model, data)
    key, bootstrap_key = jax.random.split(key)
    bootstrap = jnp.asarray(_bootstrap(bootstrap_key, train, table.capacity, model.config.members))
    watch = _watch(table, held_out, config.held_out_rows)

    learned = (model.dynamics, model.reward)
    optimiser = optax.adamw(config.learning_rate, weight_decay=config.weight_decay)
    moments = optimiser.init(_trainable(learned))
    best, best_error, stale, done, stopped = learned, np.inf, 0, 0, False
    while done + config.chunk <= config.most:
        key, chunk_key = jax.random.split(key)
        learned, moments = _train_chunk(learned, moments, data, bootstrap, jnp.asarray(len(train)), chunk_key, config)
        done += config.chunk
        if not len(held_out):
            best = learned
            continue
        error = float(_held_out_error(learned, watch))
        if progress is not None:
            progress(done, error)
        if done < config.least and done + config.chunk <= config.most:
            continue
        stale = 0 if error < best_error * (1 - config.improvement) else stale + 1
        if error < best_error:
            best, best_error = learned, error
        if stale >= config.patience:
            stopped = True
            break
    dynamics, reward = best
    model = eqx.tree_at(lambda m: (m.dynamics, m.reward), model, (dynamics, _match_base_rate(reward, data)))
    model = _calibrate(model, rows, train, held_out)
    return model, FitReport(
        rows=len(train),
        held_out_rows=len(held_out),
        held_out_error=best_error if len(held_out) else None,
        minibatches=done,
        stopped_early=stopped,
        seconds=time.perf_counter() - began,
    )


def _to_device(table: TransitionTable) -> _Data:
    c = table.columns
    weight = (np.arange(table.capacity) < table.size) & ~c.held_out
    columns = (c.observation, c.action, c.reward, c.terminated, c.next_observation, c.cost, weight.astype(np.float32))
    return _Data(*(jnp.asarray(column) for column in columns))


def _bootstrap(key: Array, train: np.ndarray, capacity: int, members: int) -> np.ndarray:
    """[M, capacity] int32: for each member, training rows drawn with replacement (padding repeats the first)."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    rows = np.zeros((members, capacity), np.int32)
    rows[:, : len(train)] = train[rng.integers(0, len(train), (members, len(train)))]
    return rows


@eqx.filter_jit
def _standardise(model: Ensemble, data: _Data) -> Ensemble:
    inputs = jnp.concatenate([data.observation, data.action], -1)
    change = data.next_observation if model.dynamics.direct else data.next_observation - data.observation
    ends = (data.terminated * data.weight).sum()
    goes_on = data.weight.sum() - ends
    features = model.reward.features(data.observation, data.action, data.next_observation)
    standardised: Ensemble = eqx.tree_at(
        lambda m: (
            m.dynamics.inputs,
            m.dynamics.targets,
            m.reward.inputs,
            m.reward.rewards,
            m.reward.costs,
            m.reward.termination_log_odds,
            m.reward.can_terminate,
        ),
        model,
        (
            Standardiser.of(inputs, data.weight),
            Standardiser.of(change, data.weight),
            Standardiser.of(features, data.weight),
            Standardiser.of(data.reward[:, None], data.weight),
            Standardiser.of(data.cost, data.weight),
            jnp.log(jnp.maximum(ends, 0.5)) - jnp.log(jnp.maximum(goes_on, 0.5)),
            ends > 0,
        ),
    )
    return standardised


def _trainable(learned: tuple[Dynamics, Reward]) -> tuple[Any, Any]:
    """The parameters that are learned: the members' weights, not the standardisers."""
    return (eqx.filter(learned[0].members, eqx.is_array), eqx.filter(learned[1].members, eqx.is_array))


@eqx.filter_jit
def _train_chunk(
    learned: tuple[Dynamics, Reward],
    moments: Any,
    data: _Data,
    bootstrap: Array,
    rows: Array,
    key: Array,
    config: FitConfig,
) -> tuple[tuple[Dynamics, Reward], Any]:
    """`config.chunk` minibatches in one scan."""
    optimiser = optax.adamw(config.learning_rate, weight_decay=config.weight_decay)

    def one(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], None]:
        members, moments = carry
        picks = jax.random.randint(key, (bootstrap.shape[0], config.batch), 0, rows)
        index = jnp.take_along_axis(bootstrap, picks, axis=1)
        gradient = jax.grad(_loss)(members, learned, data, index, config.beta)
        updates, moments = optimiser.update(gradient, moments, members)
        return (optax.apply_updates(members, updates), moments), None

    (members, moments), _ = jax.lax.scan(one, (_trainable(learned), moments), jax.random.split(key, config.chunk))
    return _with_members(learned, members), moments


def _with_members(learned: tuple[Dynamics, Reward], members: tuple[Any, Any]) -> tuple[Dynamics, Reward]:
    dynamics, reward = learned
    return (
        eqx.tree_at(lambda d: d.members, dynamics, eqx.combine(members[0], dynamics.members)),
        eqx.tree_at(lambda r: r.members, reward, eqx.combine(members[1], reward.members)),
    )


def _loss(members: Any, learned: tuple[Dynamics, Reward], data: _Data, index: Array, beta: float) -> Array:
    """The sum over members of the losses of their own minibatches [M, batch]."""
    dynamics, reward = _with_members(learned, members)
    observation, action, terminated = data.observation[index], data.action[index], data.terminated[index]
    next_observation = data.next_observation[index]
    mean, log_variance = dynamics.standard_apart(dynamics.standard_inputs(observation, action))
    target = dynamics.standard_target(observation, next_observation)
    loss = _beta_likelihood(mean, log_variance, target, beta).sum(-1)

    answer = reward.standard_apart(reward.standard_inputs(observation, action, next_observation))
    wanted = reward.rewards.into(data.reward[index][..., None])[..., 0]
    loss += _beta_likelihood(answer.reward, answer.reward_log_variance, wanted, beta)
    loss += jnp.square(answer.cost - reward.costs.into(data.cost[index])).sum(-1)
    # Both classes weigh the same in the loss: the rarer one is scaled up by the log-odds.
    balance = jnp.exp(-reward.termination_log_odds)
    weight = jnp.where(terminated, jnp.sqrt(balance), jax.lax.rsqrt(balance))
    cross_entropy = optax.sigmoid_binary_cross_entropy(answer.termination_logit, terminated.astype(jnp.float32))
    loss += jnp.where(reward.can_terminate, weight * cross_entropy, 0.0)
    return loss.mean(1).sum()


def _beta_likelihood(mean: Array, log_variance: Array, target: Array, beta: float) -> Array:
    """Gaussian negative log-likelihood times the detached variance to the power of beta (Seitzer et al. 2022)."""
    likelihood = 0.5 * (jnp.square(target - mean) * jnp.exp(-log_variance) + log_variance)
    return likelihood * jax.lax.stop_gradient(jnp.exp(beta * log_variance))


@eqx.filter_jit
def _match_base_rate(reward: Reward, data: _Data) -> Reward:
    """Shifts the termination's logit until its mean probability over the training rows is the share that ended.

    To take the class weights out of the logit, as `_standardise` begins with, is right only for a network that fits
    perfectly; one that does not would say about half of what it should.
    """

    def logits_of(row: tuple[Array, Array, Array]) -> Array:
        x = reward.standard_inputs(*(part[None] for part in row))
        return reward.standard_answers(x).termination_logit[:, 0]

    rows = (data.observation, data.action, data.next_observation)
    logits = jax.lax.map(logits_of, rows, batch_size=4_096)
    share = (data.terminated * data.weight).sum() / data.weight.sum()

    def halve(bounds: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = bounds
        middle = 0.5 * (low + high)
        said = jnp.where(data.weight > 0, jax.nn.sigmoid(logits + middle).mean(1), 0.0).sum() / data.weight.sum()
        return (jnp.where(said > share, low, middle), jnp.where(said > share, middle, high)), None

    start = (reward.termination_log_odds - 30.0, reward.termination_log_odds + 30.0)
    (low, _), _ = jax.lax.scan(halve, start, None, length=40)
    matched: Reward = eqx.tree_at(lambda r: r.termination_log_odds, reward, low)
    return matched


def _watch(table: TransitionTable, held_out: np.ndarray, room: int) -> tuple[_Data, Array]:
    """The held-out rows padded to `room`, and how many of them count."""
    index = np.zeros(room, np.int64)
    index[: len(held_out)] = held_out
    c = table.columns
    columns = [x[index] for x in (c.observation, c.action, c.reward, c.terminated, c.next_observation, c.cost)]
    columns.append((np.arange(room) < len(held_out)).astype(np.float32))
    return _Data(*(jnp.asarray(column) for column in columns)), jnp.asarray(len(held_out))


@eqx.filter_jit
def _held_out_error(learned: tuple[Dynamics, Reward], watch: tuple[_Data, Array]) -> Array:
    """Root-mean-square standardised error of next observation and reward, mean over members."""
    dynamics, reward = learned
    data, count = watch
    x = dynamics.standard_inputs(data.observation, data.action)
    target = dynamics.standard_target(data.observation, data.next_observation)
    mean, _ = dynamics.standard_answers(x)
    squares = (jnp.square(mean - target).mean((0, 2)) * data.weight).sum()
    brought = reward.learned(data.observation, data.action, data.next_observation)
    off = jnp.square((brought.reward - data.reward) / jnp.where(reward.rewards.std > 0, reward.rewards.std, 1.0))
    squares += (off * data.weight).sum()
    return jnp.sqrt(squares / jnp.maximum(count, 1))


def _calibrate(model: Ensemble, rows: Columns, train: np.ndarray, held_out: np.ndarray) -> Ensemble:
    if not len(held_out):
        return model
    mean, epistemic, aleatoric = predict_with_doubt(model, rows.observation[held_out], rows.action[held_out])
    change = (rows.next_observation[train] - rows.observation[train]).std(0)
    calibration = fit_calibration(
        error=rows.next_observation[held_out] - mean,
        epistemic=epistemic,
        aleatoric=aleatoric,
        change=np.where(change > 1e-8, change, 0.0),
        episode=rows.episode[held_out],
    )
    calibrated: Ensemble = eqx.tree_at(lambda m: m.calibration, model, calibration)
    return calibrated


def predict_with_doubt(
    model: Ensemble, observation: np.ndarray, action: np.ndarray, *, block: int = 2_048
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N, D], [N, A] -> mean, epistemic and aleatoric standard deviation of the next observation, each [N, D]."""
    parts = []
    for low in range(0, len(observation), block):
        part = slice(low, low + block)
        padding = ((0, block - len(observation[part])), (0, 0))
        answer = _doubt(model.dynamics, np.pad(observation[part], padding), np.pad(action[part], padding))
        parts.append([np.asarray(x)[: len(observation[part])] for x in answer])
    mean, epistemic, aleatoric = (np.concatenate(column) for column in zip(*parts, strict=True))
    return mean, epistemic, aleatoric


@eqx.filter_jit
def _doubt(dynamics: Dynamics, observation: Any, action: Any) -> tuple[Array, Array, Array]:
    mean, std = dynamics.all_members(observation, action)
    return mean.mean(0), *uncertainty(mean, std)
