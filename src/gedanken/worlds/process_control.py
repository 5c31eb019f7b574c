"""Continuous processes under control: a stirred tank with an exothermic reaction, and four coupled tanks.

An episode begins in a steady state and should reach and hold another, the target, which is part of the observation. The
models are those of pc-gym (Bloor et al. 2024, arXiv 2410.22093): Seborg's stirred tank and Johansson's four tanks. The
truth is known, so `oracle` can say what the best controller would have reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from scipy.optimize import minimize

from gedanken.errors import ConfigError
from gedanken.worlds.world import World

Derivative = Callable[[Any, Any, Any], Any]
"""State [D], inputs [U], and the array library -> the state's change a unit of time, [D]."""
_SUBSTEPS = 4
"""Of a step, for the classical Runge-Kutta method."""


@dataclass(frozen=True)
class Process:
    """A process to be controlled.

    derivative: of the state. low, high: of the inputs, [U]. controlled: which components of the state have a target.
    tolerance: an error of this size costs 1 a step, [C]. rest: a state to come to rest from. settling: time to come to
    rest. step: time between two inputs. steps: of an episode.
    """

    name: str
    derivative: Derivative
    low: tuple[float, ...]
    high: tuple[float, ...]
    controlled: tuple[int, ...]
    tolerance: tuple[float, ...]
    rest: tuple[float, ...]
    settling: float
    step: float
    steps: int

    def after(self, state: Any, inputs: Any, time: float, xp: Any = np) -> Any:
        """The state [D] after so much time with constant inputs [U]; `xp` is numpy or jax.numpy."""
        h = time / _SUBSTEPS
        for _ in range(_SUBSTEPS):
            a = self.derivative(state, inputs, xp)
            b = self.derivative(state + h / 2 * a, inputs, xp)
            c = self.derivative(state + h / 2 * b, inputs, xp)
            d = self.derivative(state + h * c, inputs, xp)
            state = state + h / 6 * (a + 2 * b + 2 * c + d)
        return state

    def steady(self, inputs: np.ndarray) -> np.ndarray:
        """[D]: the state in which it comes to rest with these inputs."""
        state = np.array(self.rest, np.float64)
        for _ in range(int(np.ceil(self.settling / self.step))):
            state = self.after(state, inputs, self.step)
        return state


def stirred_tank() -> Process:
    """Concentration (mol/L) and temperature (K) of a stirred tank reactor, by the temperature of its jacket (K)."""
    flow = 1.0  # 1/min: a volume a minute
    heat = 5e4 / (1_000 * 0.239)  # K L/mol
    cooling = 5e4 / (1_000 * 0.239 * 100)  # 1/min

    def derivative(state: Any, inputs: Any, xp: Any) -> Any:
        concentration, temperature = state[0], state[1]
        reacted = 7.2e10 * xp.exp(-8_750.0 / temperature) * concentration
        return xp.stack(
            [
                flow * (1.0 - concentration) - reacted,
                flow * (350.0 - temperature) + heat * reacted + cooling * (inputs[0] - temperature),
            ]
        )

    return Process("stirred_tank", derivative, (295.0,), (302.0,), (0,), (0.02,), (0.88, 325.0), 40.0, 0.5, 40)


def four_tanks() -> Process:
    """The levels (m) of four tanks, the lower two of which are to be held, by the voltages (V) of two pumps."""
    outlets = np.array([0.0035, 0.0030, 0.0020, 0.0025])  # m^2, of tanks of 1 m^2
    first, second, gravity = 8.5e-4, 9.5e-4, 9.8  # m^3/(s V), m/s^2
    shared = 0.2

    def derivative(state: Any, inputs: Any, xp: Any) -> Any:
        out = xp.asarray(outlets) * xp.sqrt(2 * gravity * xp.maximum(state, 1e-6))
        one, other = first * inputs[0], second * inputs[1]
        return xp.stack(
            [
                out[2] - out[0] + shared * one,
                out[3] - out[1] + shared * other,
                (1 - shared) * other - out[2],
                (1 - shared) * one - out[3],
            ]
        )

    return Process(
        "four_tanks",
        derivative,
        (0.1, 0.1),
        (10.0, 10.0),
        (0, 1),
        (0.05, 0.05),
        (0.1, 0.1, 0.1, 0.1),
        4_000.0,
        20.0,
        50,
    )


PROCESSES: dict[str, Callable[[], Process]] = {"stirred_tank": stirred_tank, "four_tanks": four_tanks}


class ProcessEnv(gym.Env[np.ndarray, np.ndarray]):
    """Holding a process at a target.

    Observation: state [D] and target [C]. Action: the inputs in [-1, 1], [U]. Reward: minus the mean squared error of
    what is controlled, in units of its tolerance. Start and target are steady states of inputs drawn by the reset's
    seed.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self._low, self._high = (np.array(end, np.float64) for end in (process.low, process.high))
        size = len(process.rest) + len(process.controlled)
        self.observation_space = gym.spaces.Box(0.0, 1_000.0, (size,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (len(process.low),), np.float32)
        self.state, self.target = np.array(process.rest, np.float64), np.zeros(len(process.controlled))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        begun, aimed = self.np_random.uniform(self._low, self._high, (2, len(self._low)))
        self.state = self.process.steady(begun)
        self.target = self.process.steady(aimed)[list(self.process.controlled)]
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.state = self.process.after(self.state, self.inputs(action), self.process.step)
        off = (self.state[list(self.process.controlled)] - self.target) / np.array(self.process.tolerance)
        return self._observation(), -float(np.mean(np.square(off))), False, False, {}

    def inputs(self, action: np.ndarray) -> np.ndarray:
        """[U]: what an action sets, within its bounds."""
        share = (np.clip(np.asarray(action, np.float64), -1.0, 1.0) + 1.0) / 2.0
        found: np.ndarray = self._low + share * (self._high - self._low)
        return found

    def snapshot(self) -> Any:
        """The state and the target, for `restore`."""
        return self.state.copy(), self.target.copy()

    def restore(self, snapshot: Any) -> None:
        """Goes back to a snapshot."""
        self.state, self.target = (part.copy() for part in snapshot)

    def _observation(self) -> np.ndarray:
        return np.concatenate([self.state, self.target]).astype(np.float32)


def make(name: str, **options: Any) -> World:
    """A process of `PROCESSES` as a world that charges `steps`.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in PROCESSES:
        raise ConfigError("There is no such process.", given=repr(name), expected=", ".join(PROCESSES))
    process = PROCESSES[name]()
    world = World(ProcessEnv(process), {"steps": 1}, name=f"process_control/{name}", **options)
    return world.with_horizon(process.steps)


def oracle(process: Process, seeds: list[int], *, starts: int = 3) -> np.ndarray:
    """[N]: the best return of the episodes of these seeds, found on the true process.

    The inputs of a whole episode are optimised by their gradient from several beginnings, so this is what a controller
    that knows process, start and target could reach, up to local optima.
    """
    import jax
    import jax.numpy as jnp

    low, high = jnp.array(process.low), jnp.array(process.high)
    tolerance = jnp.array(process.tolerance)

    def cost(inputs: Any, state: Any, target: Any) -> Any:
        def one(state: Any, share: Any) -> Any:
            state = process.after(state, low + share * (high - low), process.step, jnp)
            off = (state[jnp.array(process.controlled)] - target) / tolerance
            return state, jnp.mean(jnp.square(off))

        return jax.lax.scan(one, state, inputs)[1].sum()

    graded = jax.jit(jax.value_and_grad(cost))
    shape = (process.steps, len(process.low))
    env, best = ProcessEnv(process), []
    for seed in seeds:
        env.reset(seed=seed)
        state, target = jnp.array(env.state), jnp.array(env.target)

        def told(flat: np.ndarray, state: Any = state, target: Any = target) -> tuple[float, np.ndarray]:
            value, gradient = graded(jnp.array(flat).reshape(shape), state, target)
            return float(value), np.asarray(gradient, np.float64).ravel()

        bounds = [(0.0, 1.0)] * (shape[0] * shape[1])
        begins = [np.full(shape[0] * shape[1], share) for share in np.linspace(0.1, 0.9, starts)]
        found = [minimize(told, begin, jac=True, method="L-BFGS-B", bounds=bounds) for begin in begins]
        best.append(-min(float(one.fun) for one in found))
    return np.array(best)
