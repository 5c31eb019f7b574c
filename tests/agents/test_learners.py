"""Every learner that is installed against what the loop asks of it; one that is added is found by itself."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from gedanken import plugins
from gedanken.agents.contract import Agent
from gedanken.agents.icem import ICEM, ICEMConfig
from gedanken.agents.learner import Learner, Progress
from gedanken.agents.sac import SAC, SACConfig
from gedanken.agents.value_gradient import ValueGradient, ValueGradientConfig
from gedanken.dreams.truncation import NoTruncation
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole, paid_steps

_NETWORKS: dict[str, Any] = {"width": 8, "depth": 1, "batch": 16, "chunk": 5}
SMALL: dict[str, Any] = {
    "value_gradient": ValueGradient(
        ValueGradientConfig(**_NETWORKS, horizon=2, distribution_horizon=3, distribution_starts=16, pool=64)
    ),
    "sac": SAC(SACConfig(**_NETWORKS, horizon=2, starts=16, buffer=64)),
    "icem": ICEM(ICEMConfig(horizon=3, candidates=8, elites=2, iterations=1)),
}
"""Smaller than by default, so that they are fast."""


@pytest.fixture(params=sorted(plugins.find("gedanken.agents")))
def learner(request: pytest.FixtureRequest) -> Learner:
    made: Learner = SMALL.get(request.param) or plugins.load("gedanken.agents", request.param, what="agent")()
    assert made.name == request.param
    return made


@pytest.fixture(params=[False, True], ids=["continuous", "choices"])
def env(request: pytest.FixtureRequest) -> AnalyticEnv:
    return AnalyticEnv(discrete=request.param)


def modelled(env: AnalyticEnv) -> AnalyticModel:
    return falling_pole() if env.codec.choices else double_integrator(noise=0.1)


def fresh(learner: Learner, env: AnalyticEnv, seed: int = 0) -> Any:
    codec = env.codec
    return learner.init(codec.observation_size, codec.action_size, discrete=codec.choices > 0, key=jax.random.key(seed))


def learn(learner: Learner, env: AnalyticEnv, state: Any, *, updates: int = 10, seed: int = 0, **options: Any) -> Any:
    return learner.learn(
        state,
        modelled(env),
        paid_steps(modelled(env), reach=0.4, count=60),
        truncation=NoTruncation(),
        updates=updates,
        key=jax.random.key(seed),
        **options,
    )


def arrays(state: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array))]


def test_it_has_all_the_verbs(learner: Learner) -> None:
    assert isinstance(learner, Learner)
    hash(learner)  # frozen: it is a static part of compiled programs
    assert not hasattr(learner, "__dict__") or learner == type(learner)(**vars(learner))


def test_what_it_learns_keeps_its_shape(learner: Learner, env: AnalyticEnv) -> None:
    before = fresh(learner, env)
    after, progress = learn(learner, env, before)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert [(a.shape, a.dtype) for a in arrays(before)] == [(a.shape, a.dtype) for a in arrays(after)]
    assert all(np.isfinite(a).all() for a in arrays(after) if a.dtype.kind == "f" and a.size > 2)
    assert isinstance(progress, Progress) and progress.imagined_steps >= 0
    assert np.isfinite(list(progress.metrics.values())).all()


def test_a_key_decides(learner: Learner, env: AnalyticEnv) -> None:
    one, other, different = (arrays(learn(learner, env, fresh(learner, env), seed=s)[0]) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not one or not all(np.array_equal(a, b) for a, b in zip(one, different, strict=True))


def test_its_agent_acts_in_the_world(learner: Learner, env: AnalyticEnv) -> None:
    agent = learner.agent(fresh(learner, env), modelled(env), env.codec)
    assert isinstance(agent, Agent)
    for seed in (None, 3):
        assert env.action_space.contains(agent.act(np.zeros(env.codec.observation_size, np.float32), seed=seed))


def test_it_can_be_stopped_in_between(learner: Learner, env: AnalyticEnv) -> None:
    class Stop(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    state = fresh(learner, env)
    before = arrays(state)
    try:
        learn(learner, env, state, on_chunk=stop)
    except Stop:
        assert all(np.array_equal(a, b) for a, b in zip(before, arrays(state), strict=True))
    else:
        assert not before, "one that learns says so between its chunks"


def test_without_a_model_it_learns_from_paid_steps_or_says_that_it_cannot(learner: Learner, env: AnalyticEnv) -> None:
    without = learner.model_free()
    if without is None:
        return
    state, progress = without.learn(
        fresh(without, env),
        None,
        paid_steps(modelled(env), reach=0.4, count=60),
        truncation=NoTruncation(),
        updates=10,
        key=jax.random.key(0),
    )
    assert progress.imagined_steps == 0
    assert env.action_space.contains(
        without.agent(state, None, env.codec).act(np.zeros(env.codec.observation_size, np.float32))
    )
