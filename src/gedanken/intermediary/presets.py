"""Settings that were found to serve, per world; every other world gets the defaults of `RunConfig`."""

from __future__ import annotations

import dataclasses

from gedanken.agents.value_gradient import ValueGradientConfig
from gedanken.intermediary.config import CollectConfig, RunConfig
from gedanken.models.ensemble import EnsembleConfig
from gedanken.models.fitting import FitConfig

_SMALL = RunConfig(
    budget={"steps": 1_500},
    updates_per_step=3.0,
    collect=CollectConfig(warmup=200, warmup_horizon=40, steps=200, horizon=200),
    model=EnsembleConfig(width=128),
    fit=FitConfig(most=1_000),
    value_gradient=ValueGradientConfig(width=128),
)
"""For worlds of a few dimensions, solved in some hundred steps."""

_SWINGING = dataclasses.replace(_SMALL, collect=dataclasses.replace(_SMALL.collect, horizon=100))
"""Where an episode's second half is spent standing. Cut there, twice as many begin, and a run of a few episodes depends
on where they begin."""

_ROBOT = RunConfig(
    budget={"steps": 50_000},
    collect=CollectConfig(warmup=2_000, warmup_horizon=200, steps=500, horizon=500),
    model=EnsembleConfig(layer_norm=False),
)
"""For walking robots. Their members predict better, and faster, without layer normalisation."""

_STANDING = dataclasses.replace(
    _ROBOT,
    collect=dataclasses.replace(_ROBOT.collect, growth=0.02),
    fit=FitConfig(least=200, patience=3),
    value_gradient=ValueGradientConfig(discount=0.995),
)
"""For walking robots that can fall. At a discount of 0.99, running faster and falling 300 steps later is worth it. The
model is asked, and put right, in shorter rounds: what it does not know of a faster gait is a fall."""

_PRESETS = {
    "InvertedPendulum-v5": _SMALL,
    "Pendulum-v1": _SWINGING,
    "CartPole-v1": _SMALL,
    "Hopper-v5": _STANDING,
    "HalfCheetah-v5": _ROBOT,
    "Walker2d-v5": _STANDING,
    "Ant-v5": _STANDING,
    "Humanoid-v5": _STANDING,
}


def preset(world: str) -> RunConfig:
    """The configuration to start from for a world, by its name with or without its room."""
    found = _PRESETS.get(world.rpartition("/")[2], RunConfig())
    return dataclasses.replace(found, world=world)
