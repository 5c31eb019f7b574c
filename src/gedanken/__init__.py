"""Gedanken: a learned world model between an agent and a world in which every action costs.

import gymnasium as gym, gedanken as gd

world = gd.World(gym.make("Hopper-v5"), prices={"steps": 1})
between = gd.Intermediary(world, budget=gd.Budget(steps=50_000))
result = between.run()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gedanken.agents.contract import Agent
    from gedanken.dreams.env import DreamEnv
    from gedanken.dreams.vector_env import DreamVectorEnv
    from gedanken.errors import GedankenError
    from gedanken.experience.codec import Codec
    from gedanken.experience.cost import Budget, Cost
    from gedanken.experience.store import Experience
    from gedanken.experience.transition import Episode, Outcome, Provenance, Transition
    from gedanken.intermediary.config import RunConfig
    from gedanken.intermediary.loop import Intermediary, Result
    from gedanken.models.contract import Imagined, WorldModel
    from gedanken.models.ensemble import Ensemble, EnsembleConfig
    from gedanken.worlds.ledger import Ledger
    from gedanken.worlds.world import World

__version__ = "0.1.0"

# Imported when they are first used: the command line must answer at once, and set the threads before JAX is there.
_HOMES = {
    "agents.contract": ("Agent",),
    "dreams.env": ("DreamEnv",),
    "dreams.vector_env": ("DreamVectorEnv",),
    "errors": ("GedankenError",),
    "experience.codec": ("Codec",),
    "experience.cost": ("Budget", "Cost"),
    "experience.store": ("Experience",),
    "experience.transition": ("Episode", "Outcome", "Provenance", "Transition"),
    "intermediary.config": ("RunConfig",),
    "intermediary.loop": ("Intermediary", "Result"),
    "models.contract": ("Imagined", "WorldModel"),
    "models.ensemble": ("Ensemble", "EnsembleConfig"),
    "worlds.ledger": ("Ledger",),
    "worlds.world": ("World",),
}
_HOME = {name: f"gedanken.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "Budget",
    "Codec",
    "Cost",
    "DreamEnv",
    "DreamVectorEnv",
    "Ensemble",
    "EnsembleConfig",
    "Episode",
    "Experience",
    "GedankenError",
    "Imagined",
    "Intermediary",
    "Ledger",
    "Outcome",
    "Provenance",
    "Result",
    "RunConfig",
    "Transition",
    "World",
    "WorldModel",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gedanken' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
