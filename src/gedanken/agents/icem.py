"""iCEM: plan by improving random action sequences in the world model, a few steps ahead, and again after every step.

Pinneri et al. 2020, 2008.06389, with their coloured noise, kept and shifted elites, and momentum; the population has
one size in all iterations, so that one compiled scan runs them. MPPI weighting (Williams et al. 2017, 1509.01149) is an
option, and so are discrete actions, whose sequences are drawn from a categorical distribution a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.agents.learner import Progress
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.models.contract import State, VectorModel

Value = Callable[[jax.Array], jax.Array]
"""observation [B, D] -> [B], the expected return from there on."""


@dataclass(frozen=True)
class ICEMConfig:
    """How far, how many and how often.

    Args:
        horizon: steps planned ahead.
        candidates: action sequences tried in each iteration.
        elites: how many of the best shape the next iteration.
        iterations: rounds of improvement in each step.
        kept: the share of the elites that is tried again: in the next iteration and, shifted, in the next step.
        momentum: how much of the old distribution stays in an update, from 0 to below 1.
        noise_exponent: colour of the noise: 0 white, 1 pink, 2 red. Redder explores further. Continuous actions only.
        initial_std: standard deviation of the first iteration, in encoded units (actions are in [-1, 1]).
        least_probability: what every discrete choice keeps, so that none dies out.
        discount: of imagined rewards.
        particles: imagined rollouts averaged for each sequence; more help where the world is noisy.
        weighting: "elites": mean over the elites, and the best sequence acts; "mppi": all sequences weighted by
            exp(standardised return / temperature), and the weighted mean acts.
        temperature: of "mppi".
        risk: taken off the reward for each unit of epistemic standard deviation, averaged over the dimensions. Above
            0 all members are asked in each step, which costs several times as much.
    """

    horizon: int = 20
    candidates: int = 128
    elites: int = 13
    iterations: int = 4
    kept: float = 0.3
    momentum: float = 0.1
    noise_exponent: float = 2.0
    initial_std: float = 0.5
    least_probability: float = 0.02
    discount: float = 1.0
    particles: int = 1
    weighting: Literal["elites", "mppi"] = "elites"
    temperature: float = 0.5
    risk: float = 0.0

    def __post_init__(self) -> None:
        wrong = {
            "horizon": self.horizon < 1,
            "iterations": self.iterations < 1,
            "particles": self.particles < 1,
            "elites": not 1 <= self.elites <= self.candidates,
            "candidates": self.candidates < 2 + 2 * round(self.kept * self.elites),
            "kept": not 0.0 <= self.kept <= 1.0,
            "momentum": not 0.0 <= self.momentum < 1.0,
            "initial_std": not self.initial_std > 0.0,
            "least_probability": not 0.0 <= self.least_probability < 1.0,
            "discount": not 0.0 < self.discount <= 1.0,
            "weighting": self.weighting not in ("elites", "mppi"),
            "temperature": not self.temperature > 0.0,
            "risk": not self.risk >= 0.0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(
                    f"ICEMConfig.{name} is out of range.", given=getattr(self, name), expected="see ICEMConfig's text"
                )

    @property
    def retried(self) -> int:
        """How many elites are tried again."""
        return round(self.kept * self.elites)


class Memory(NamedTuple):
    """What a planner knows when the next step begins.

    mean: [H, A], the centre of continuous sequences or the probabilities of discrete ones.
    elites: [retried, H, A], encoded.
    """

    mean: jax.Array
    elites: jax.Array


def fresh_memory(action_size: int, config: ICEMConfig, *, discrete: bool) -> Memory:
    """Knows nothing yet: the middle of the action space, or all choices alike."""
    middle = 1.0 / action_size if discrete else 0.0
    elites = jnp.zeros((config.retried, config.horizon, action_size), jnp.float32)
    if discrete:
        choices = (jnp.arange(config.retried)[:, None] + jnp.zeros(config.horizon, jnp.int32)) % action_size
        elites = jax.nn.one_hot(choices, action_size, dtype=jnp.float32)
    return Memory(jnp.full((config.horizon, action_size), middle, jnp.float32), elites)


@eqx.filter_jit
def plan(
    model: VectorModel,
    observation: jax.Array,
    memory: Memory,
    key: jax.Array,
    config: ICEMConfig,
    *,
    value: Value | None = None,
    discrete: bool = False,
    explore: bool = False,
) -> tuple[jax.Array, Memory]:
    """The action to take now. Pure, compiled once for each model structure and config.

    Args:
        model: where candidates are tried.
        observation: [D] float32, encoded.
        memory: of the step before, or `fresh_memory`.
        key: all randomness comes from it.
        config: how to plan.
        value: what the last imagined observation is worth; nothing without it.
        discrete: actions are one-hot.
        explore: draw the action from the final distribution instead of taking the best.

    Returns:
        The encoded action [A], and the memory for the next step.
    """
    start = jnp.broadcast_to(observation, (config.candidates * config.particles, *observation.shape))

    def improve(carry: tuple[Memory, jax.Array], step_key: jax.Array) -> tuple[tuple[Memory, jax.Array], Any]:
        (mean, elites), std = carry
        draw_key, try_key = jax.random.split(step_key)
        tried = _propose(draw_key, mean, std, elites, config, discrete=discrete)
        returns = _returns(model, State(start), tried, try_key, config, value)
        # A sequence along which the model left the finite numbers is the worst, not an undefined one.
        returns = jnp.where(jnp.isfinite(returns), returns, -jnp.inf)
        best_returns, best = jax.lax.top_k(returns, config.elites)
        if config.weighting == "mppi":
            seen = jnp.where(jnp.isfinite(returns), returns, best_returns[-1])
            standard = (returns - best_returns[0]) / (jnp.nan_to_num(seen).std() + 1e-6)
            weights = jax.nn.softmax(jnp.nan_to_num(standard, neginf=-1e9) / config.temperature)
            shaping = tried
        else:
            weights, shaping = jnp.full(config.elites, 1.0 / config.elites), tried[best]
        centre = jnp.einsum("k,kha->ha", weights, shaping)
        deviation = jnp.sqrt(jnp.einsum("k,kha->ha", weights, (shaping - centre) ** 2))
        mean = config.momentum * mean + (1.0 - config.momentum) * centre
        std = config.momentum * std + (1.0 - config.momentum) * deviation
        return (Memory(mean, tried[best[: config.retried]]), std), tried[best[0]]

    draw_key, *keys = jax.random.split(key, config.iterations + 1)
    first = (memory, jnp.full_like(memory.mean, config.initial_std))
    (after, std), bests = jax.lax.scan(improve, first, jnp.stack(keys))
    if explore:
        action = _draw(draw_key, after.mean[:1], std[:1], 1, config, discrete=discrete)[0, 0]
    elif config.weighting == "elites":
        action = bests[-1, 0]
    elif discrete:
        action = jax.nn.one_hot(after.mean[0].argmax(), after.mean.shape[1])
    else:
        action = after.mean[0]
    return action, Memory(_shift(after.mean), jax.vmap(_shift)(after.elites))


class Planner:
    """iCEM as an `Agent`. It keeps the plan of the step before as its starting point until `reset` is called.

    Args:
        model: where it plans.
        codec: the spaces of the world.
        config: how it plans.
        value: what the last imagined observation is worth, [B, D] -> [B]; pure.
        id: names this version; derived from the model and the config where it is not given. Give one where `value` is
            given, for a function has no name that tells its versions apart.

    Raises:
        ConfigError: model and codec are of different worlds, or `value` comes without an `id`.
    """

    def __init__(
        self,
        model: VectorModel,
        codec: Codec,
        config: ICEMConfig | None = None,
        *,
        value: Value | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        config = config if config is not None else ICEMConfig()
        if (model.observation_size, model.action_size) != (codec.observation_size, codec.action_size):
            raise ConfigError(
                "The model and the codec are of different worlds.",
                given=(model.observation_size, model.action_size),
                expected=(codec.observation_size, codec.action_size),
            )
        if value is not None and id is None:
            raise ConfigError("A planner with a value function needs an id.", do="give id='...'.")
        self.model, self.codec, self.config, self.value = model, codec, config, value
        digest = hashlib.sha256(repr(config).encode()).hexdigest()[:8]
        self._id = id if id is not None else f"icem-{digest}-{model.id}"
        self.reset()

    @property
    def id(self) -> str:
        return self._id

    def reset(self) -> None:
        """Forgets the plan so far: call it where an episode begins."""
        self._memory = fresh_memory(self.codec.action_size, self.config, discrete=self.codec.choices > 0)

    def act(self, observation: Any, *, seed: int | None = None) -> Any:
        """One raw action for one raw observation; the same for the same history without a seed.

        Raises:
            ConfigError: the observation is not finite or of another shape.
        """
        raw = np.asarray(observation)
        if raw.shape != self.codec.observation_space.shape or not np.isfinite(raw).all():
            raise ConfigError(
                "The planner cannot plan from this observation.",
                given=repr(observation)[:200],
                expected=f"one finite observation of {self.codec.observation_space}",
            )
        action, self._memory = plan(
            self.model,
            jnp.asarray(self.codec.encode_observations(raw)),
            self._memory,
            jax.random.PRNGKey(0 if seed is None else seed),
            self.config,
            value=self.value,
            discrete=self.codec.choices > 0,
            explore=seed is not None,
        )
        return self.codec.decode_action(np.asarray(action))


@dataclass(frozen=True)
class ICEM:
    """The planner as a `Learner`: it has nothing to learn but the model, which is given anew in every round."""

    config: ICEMConfig = field(default_factory=ICEMConfig)
    name: ClassVar[str] = "icem"

    def init(self, observation_size: int, action_size: int, *, discrete: bool, key: jax.Array) -> tuple[()]:  # noqa: ARG002
        return ()

    def learn(self, state: tuple[()], *_: Any, **__: Any) -> tuple[tuple[()], Progress]:
        """Nothing to do."""
        return state, Progress({}, 0)

    def agent(self, state: tuple[()], model: VectorModel, codec: Codec) -> Planner:  # noqa: ARG002
        return Planner(model, codec, self.config)

    def model_free(self) -> None:
        """Nothing: there is nothing to plan in."""
        return


# --- Inside ---------------------------------------------------------------------------------------------------------


def coloured_noise(key: jax.Array, shape: tuple[int, ...], exponent: float) -> jax.Array:
    """Gaussian noise of variance 1 whose power falls as 1 / frequency ** `exponent` along the last axis.

    Drawn in the frequency domain (Timmer and Koenig 1995); the mean, frequency 0, gets the power of the lowest other.
    """
    length = shape[-1]
    frequencies = np.fft.rfftfreq(length)
    frequencies[0] = 1.0 / length
    scale = frequencies ** (-exponent / 2.0)
    real, imaginary = jax.random.normal(key, (2, *shape[:-1], len(scale)))
    # Frequency 0, and the highest of an even length, are real: all their power is in one number.
    alone = np.zeros(len(scale), bool)
    alone[0] = True
    alone[-1] |= length % 2 == 0
    real, imaginary = real * np.where(alone, np.sqrt(2.0), 1.0), imaginary * ~alone
    variance = (np.where(alone, 2.0, 4.0) * scale**2).sum() / length**2
    noise: jax.Array = jnp.fft.irfft((real + 1j * imaginary) * scale, n=length, axis=-1) / np.sqrt(variance)
    return noise


def _draw(
    key: jax.Array, mean: jax.Array, std: jax.Array, count: int, config: ICEMConfig, *, discrete: bool
) -> jax.Array:
    """[count, H, A] sequences from the current distribution."""
    horizon, size = mean.shape
    if discrete:
        logits = jnp.log((1.0 - config.least_probability) * mean + config.least_probability / size)
        return jax.nn.one_hot(jax.random.categorical(key, logits, shape=(count, horizon)), size)
    noise = coloured_noise(key, (count, size, horizon), config.noise_exponent)
    return jnp.clip(mean + std * noise.transpose(0, 2, 1), -1.0, 1.0)


def _propose(
    key: jax.Array, mean: jax.Array, std: jax.Array, elites: jax.Array, config: ICEMConfig, *, discrete: bool
) -> jax.Array:
    """[candidates, H, A]: the elites of before, the mean itself, and new draws."""
    centre = jax.nn.one_hot(mean.argmax(-1), mean.shape[1]) if discrete else mean
    drawn = _draw(key, mean, std, config.candidates - len(elites) - 1, config, discrete=discrete)
    return jnp.concatenate([elites, centre[None], drawn])


def _returns(
    model: VectorModel, start: State, tried: jax.Array, key: jax.Array, config: ICEMConfig, value: Value | None
) -> jax.Array:
    """[candidates]: the expected discounted return of each sequence, over the particles."""

    def step(carry: Any, inputs: Any) -> tuple[Any, None]:
        state, running, total = carry
        action, step_key = inputs
        imagined = (model.step if config.risk > 0.0 else model.sample)(state, action, step_key)
        reward = imagined.reward
        if config.risk > 0.0:
            reward = reward - config.risk * imagined.epistemic.mean(-1)
        total = total + running * reward
        # What follows counts as far as the episode is still running: an expectation instead of a coin toss.
        running = running * config.discount * (1.0 - imagined.termination_probability)
        return (imagined.state, running, total), None

    batch = config.candidates * config.particles
    actions = jnp.repeat(tried, config.particles, axis=0).transpose(1, 0, 2)
    first = (start, jnp.ones(batch), jnp.zeros(batch))
    (state, running, total), _ = jax.lax.scan(step, first, (actions, jax.random.split(key, config.horizon)))
    if value is not None:
        total = total + running * value(state.observation)
    return total.reshape(config.candidates, config.particles).mean(-1)


def _shift(sequence: jax.Array) -> jax.Array:
    """[H, A], one step later; the last action is repeated."""
    return jnp.concatenate([sequence[1:], sequence[-1:]])
