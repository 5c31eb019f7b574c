"""What a run may cost: its budgets, the room they ask for, and how they are raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.experience.cost import Cost
from gedanken.intermediary.config import RunConfig
from gedanken.worlds.world import World


def capacity(config: RunConfig) -> int:
    """Room for every step the budget can pay, so that nothing is compiled twice as data grow."""
    steps = config.budget.get("steps", 4_096)
    return max(256, min(steps, 1_000_000))


def typical_price(world: World) -> Cost:
    """What the middle of the action space (of choices, the first) costs at most: with fixed prices, any action."""
    codec = Codec(world.observation_space, world.action_space)
    return world.price(codec.decode_action(np.zeros(codec.action_size, np.float32)))


def check_budget(config: RunConfig, world: World) -> Cost:
    """What one check may cost: its episodes at their longest, and the branches from their states.

    Raises:
        ConfigError: the world's episodes have no limit, so that nobody can say.
    """
    horizon = world.max_episode_steps
    if horizon is None:
        raise ConfigError(
            f"Episodes of {world.name!r} have no limit, so a run of it has no end.",
            do="wrap it: world.with_horizon(n), or gymnasium.make(id, max_episode_steps=n).",
        )
    check = config.check
    branched = check.branches * check.branch_actions * check.branch_steps if config.mode != "off" else 0
    steps = max(1, check.episodes) * (horizon + branched)
    return typical_price(world).times(steps)


def check_resources(config: RunConfig, world: World) -> None:
    """Refuses a budget that limits nothing: a misspelt resource would let the run spend what nobody allowed.

    Raises:
        ConfigError: it names a resource that this world never charges, or none that it does.
    """
    charged = {name for name, amount in typical_price(world).items() if amount}
    limits = charged & set(config.budget)
    never = set() if world.resources is None else set(config.budget) - world.resources
    if never or not limits:
        raise ConfigError(
            f"The budget names what {world.name!r} never charges." if never else "The budget limits nothing here.",
            given=", ".join(sorted(never or config.budget)),
            expected=" or ".join(sorted(charged)) or "a world that charges for its steps",
            do=f"such as budget.{min(charged, default='steps')} = 1500.",
        )


def raised(described: Mapping[str, Any], budget: Mapping[str, int]) -> dict[str, Any]:
    """The description of a run (its config.json) with a higher budget, and leave for one more check.

    Raises:
        ConfigError: an amount is lower than before, or of a resource that the run has no budget of.
    """
    before = described["config"]["budget"]
    for name, amount in budget.items():
        if name not in before:
            raise ConfigError("The run has no budget of this resource.", given=name, expected=" or ".join(before))
        if amount < before[name]:
            raise ConfigError(
                "A budget can be raised, not lowered: what it allowed may have been spent.",
                given=f"{name}={amount}",
                expected=f"{before[name]} or more",
            )
    after = {**before, **budget}
    if after == before:
        return dict(described)
    config = {**described["config"], "budget": after}
    return {**described, "config": config, "checks": described.get("checks", 1) + 1}
