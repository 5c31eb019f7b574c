"""Gedanken: a learned world model between an agent and a world in which every action costs.

import gymnasium as gym, gedanken as gd

world = gd.World(gym.make("Hopper-v5"), prices={"steps": 1})
between = gd.Intermediary(world, budget=gd.Budget(steps=50_000))
result = between.run()
"""

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
