"""Rehearsals and refusals with a model that was learned."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.intermediary.gate import Gate, Limits
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.fitting import FitConfig, fit
from tests.fakes import AnalyticEnv, double_integrator
from tests.intermediary.walks import KEY, at, stay


def earned(observation: jax.Array, action: jax.Array, following: jax.Array) -> jax.Array:
    return double_integrator().reward(observation, action)


def learned() -> tuple[Ensemble, AnalyticEnv]:
    """A tiny ensemble fitted to 600 steps of the double integrator, whose reward is given, and its world."""
    env = AnalyticEnv(double_integrator(noise=0.02), horizon=25)
    draws, rows = np.random.default_rng(0), []
    for episode in range(24):
        # Every second held-out episode starts far out: what the model is wrong about has to be in the calibration.
        observation, _ = env.reset(seed=episode, options={"task": {"scale": 20.0 if episode % 8 == 7 else 1.0}})
        truncated = False
        while not truncated:
            action = draws.uniform(-2, 2, 1).astype(np.float32)
            following, reward, terminated, truncated, _ = env.step(action)
            rows.append((observation, action / 2, reward, terminated, following, [1.0], episode, episode % 4 == 3))
            observation = following
    table = TransitionTable(1_024, 2, 1, ("steps",))
    dtypes = (np.float32, np.float32, np.float32, bool, np.float32, np.float32, np.int32, bool)
    columns = zip(*rows, strict=True)
    table.add(Columns(*(np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True))))
    config = EnsembleConfig(members=3, width=32, depth=1, layer_norm=False, reward_width=32, reward_depth=1)
    model = Ensemble(2, 1, ("steps",), config, key=jax.random.key(0), reward_function=earned)
    quick = FitConfig(batch=128, chunk=300, most=600, learning_rate=5e-3, held_out_rows=256)
    return fit(model, table, key=jax.random.key(1), config=quick)[0], env


def test_a_learned_model_foresees_its_world_and_knows_where_it_does_not() -> None:
    model, env = learned()
    shadow = Gate("shadow", Limits(), model, env.codec, policy=stay, horizon=10, samples=64)
    observation, coasting = at(0.5, -0.5), double_integrator()
    for action in (at(-2.0), at(0.0), at(1.0)):
        decision = shadow.decide(observation, action, key=KEY)
        now, total = jnp.asarray(observation)[None], 0.0
        for step in range(10):
            encoded = jnp.asarray(action / 2 if step == 0 else at(0.0))[None]
            total += float(coasting.reward(now, encoded)[0])
            now = coasting.truth(now, encoded)
            if step == 0:
                first = np.asarray(now[0])
        (rehearsal,) = decision.rehearsals
        assert rehearsal.known and rehearsal.interval == "conformal"
        assert rehearsal.returns.median == pytest.approx(total, rel=0.2, abs=0.2)
        assert rehearsal.next_observation == pytest.approx(first, abs=0.1)
        assert (rehearsal.next_low < first).all() and (first < rehearsal.next_high).all()
        assert rehearsal.cost == {"steps": pytest.approx(10.0, rel=0.01)} and rehearsal.ends == 0.0
    far = shadow.decide(at(60.0, -40.0), at(0.0), key=KEY)
    near = shadow.decide(at(0.0, 0.0), at(0.0), key=KEY)
    assert far.rehearsals[0].confidence < near.rehearsals[0].confidence
    assert [breach.kind for breach in far.breaches] == ["unknown"] and near.breaches == ()
    assert far.reasons[0].startswith("does not know: confidence 0.")
