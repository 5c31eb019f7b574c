"""What installed packages bring, by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from gedanken import plugins
from gedanken.errors import ConfigError

GROUP = "gedanken.tests"
SOMETHING = object()


@pytest.fixture(autouse=True)
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = [
        EntryPoint("something", f"{__name__}:SOMETHING", GROUP),
        EntryPoint("gone", "no_such_package.anywhere:Thing", GROUP),
        EntryPoint("empty", f"{__name__}:NO_SUCH_THING", GROUP),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: brought if group == GROUP else [])


def test_a_name_stands_for_what_its_entry_point_names() -> None:
    assert plugins.load(GROUP, "something", what="thing") is SOMETHING
    assert sorted(plugins.find(GROUP)) == ["empty", "gone", "something"] and plugins.find("gedanken.nothing") == {}


def test_an_unknown_name_is_refused_with_what_may_have_been_meant() -> None:
    with pytest.raises(ConfigError, match="There is no thing 'somethin'") as caught:
        plugins.load(GROUP, "somethin", what="thing")
    assert caught.value.expected == "something" and GROUP in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        plugins.load(GROUP, "zzz", what="thing")
    assert caught.value.expected == "empty or gone or something"


@pytest.mark.parametrize(("name", "why"), [("gone", "no_such_package"), ("empty", "NO_SUCH_THING")])
def test_what_cannot_be_imported_says_why(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"The thing '{name}' cannot be loaded") as caught:
        plugins.load(GROUP, name, what="thing")
    assert why in str(caught.value.given)
