"""What every agent must do."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Agent(Protocol):
    """Whoever acts. A plain callable `observation -> action` becomes one through `gedanken.agents.from_callable`."""

    @property
    def id(self) -> str:
        """Names this version of the agent: written into every episode as its behaviour policy."""

    def act(self, observation: Any, *, seed: int | None = None) -> Any:
        """One action of the world's action space. Deterministic without a seed; explores by `seed` with one."""


@runtime_checkable
class Remembers(Protocol):
    """An agent that remembers what happened in an episode, and must be told when another begins."""

    def reset(self) -> None:
        """Forgets the episode so far."""


def begin_episode(agent: Agent) -> None:
    """Tells an agent with a memory that an episode begins."""
    if isinstance(agent, Remembers):
        agent.reset()
