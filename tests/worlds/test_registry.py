"""Worlds by name: rooms of installed packages, and what Gymnasium knows."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from gedanken import plugins
from gedanken.errors import ConfigError
from gedanken.worlds import registry
from gedanken.worlds.world import World
from tests.worlds.envs import Scripted


def lab(name: str, *, price: int = 3) -> World:
    """A room, as a package of somebody's own would have it."""
    return World(Scripted(), {"experiments": price}, name=name)


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("lab", f"{__name__}:lab", registry.GROUP),
        EntryPoint("gone", "no_such_package.anywhere:make", registry.GROUP),
        EntryPoint("empty", f"{__name__}:no_such_factory", registry.GROUP),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == registry.GROUP else [])


def test_a_room_makes_its_worlds() -> None:
    world = registry.make("lab/reactor", price=5)
    assert (world.name, dict(world.price(None))) == ("reactor", {"experiments": 5})
    assert registry.make("lab").name == "lab"


def test_every_gymnasium_id_is_a_world() -> None:
    world = registry.make("Pendulum-v1", unit=20)
    assert (world.name, world.unit_steps, dict(world.price(None))) == ("Pendulum-v1", 20, {"steps": 1})


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("Hoper-v5", "Hopper-v5"),
        ("Hopper-v99", "Hopper-v5"),
        ("labs", "lab"),
        ("foo/bar", ""),
        ("", ""),
        ("a:B-v0", ""),
    ],
)
def test_an_unknown_name_is_refused_with_what_may_have_been_meant(name: str, close: str) -> None:
    with pytest.raises(ConfigError, match="There is no world") as caught:
        registry.make(name)
    assert close in str(caught.value.expected)


@pytest.mark.parametrize("room", ["gone", "empty"])
def test_a_room_that_cannot_be_loaded(room: str) -> None:
    with pytest.raises(ConfigError, match=f"The room '{room}' cannot be loaded"):
        registry.make(f"{room}/world")


def test_names_lists_both() -> None:
    names: list[Any] = registry.names()
    assert {"lab", "gone", "Hopper-v5", "CartPole-v1"} <= set(names)


def test_the_rooms_of_this_package_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert registry.make("robotics/CartPole-v1").name == "CartPole-v1"
