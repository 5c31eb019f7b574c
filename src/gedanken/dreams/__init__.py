"""The model as an environment: rollouts, Gymnasium environments, and when to stop believing them."""

from gedanken.dreams.env import DreamEnv, Snapshot
from gedanken.dreams.infoprop import Infoprop
from gedanken.dreams.rollout import (
    Buffer,
    Rollout,
    Transitions,
    empty_buffer,
    flatten,
    imagine,
    pack,
    sample_rows,
)
from gedanken.dreams.truncation import MOPOPenalty, MORelHalt, NoTruncation, Truncation
from gedanken.dreams.vector_env import DreamVectorEnv

__all__ = [
    "Buffer",
    "DreamEnv",
    "DreamVectorEnv",
    "Infoprop",
    "MOPOPenalty",
    "MORelHalt",
    "NoTruncation",
    "Rollout",
    "Snapshot",
    "Transitions",
    "Truncation",
    "empty_buffer",
    "flatten",
    "imagine",
    "pack",
    "sample_rows",
]
