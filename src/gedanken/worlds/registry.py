"""Finding a world by its name: the rooms of installed packages, and everything that Gymnasium knows.

A room is an entry point of the group `gedanken.worlds`: `name = "package.module:factory"`, where
`factory(world_name, **options)` returns a `World`. A world is named `room/world`, or by its Gymnasium id alone.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import gymnasium as gym

from gedanken import plugins
from gedanken.errors import ConfigError
from gedanken.worlds.world import World

GROUP = "gedanken.worlds"


def make(name: str, **options: Any) -> World:
    """Makes a world by its name.

    Args:
        name: `room/world`, such as `robotics/Hopper-v5`; the name of a room that is one world; a Gymnasium id; or
            `module:id`, where importing the module registers the id.
        **options: passed to the room's factory.

    Raises:
        ConfigError: nobody knows the name, or its room cannot be loaded.
    """
    room, _, world = name.partition("/")
    if point := plugins.find(GROUP).get(room):
        made: World = plugins.resolve(point, what="room")(world or room, **options)
        return made
    module, _, identifier = name.rpartition(":")
    try:
        if module:
            import_module(module)
        gym.spec(identifier)
    except (gym.error.Error, ModuleNotFoundError) as error:
        close = get_close_matches(name, names(), n=5, cutoff=0.4)
        raise ConfigError(
            f"There is no world {name!r}.",
            given=str(error).rstrip("."),
            expected=f"something like {', '.join(close)}" if close else "the name of a room, or a Gymnasium id",
            do="see gedanken.worlds.registry.names(); a package of your own can add a room (CONTRIBUTING.md).",
        ) from error
    from gedanken.worlds.robotics import make as make_gymnasium

    return make_gymnasium(name, **options)


def names() -> list[str]:
    """Every room, and every Gymnasium id."""
    return sorted(plugins.find(GROUP)) + sorted(gym.registry)
