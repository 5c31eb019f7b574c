"""Every world against the contract (see tests/worlds/contract.py)."""

from __future__ import annotations

import pytest

from gedanken import plugins
from gedanken.worlds.registry import GROUP
from tests.worlds.contract import SUBJECTS, Subject, WorldContract


class TestEveryWorld(WorldContract):
    @pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
    def subject(self, request: pytest.FixtureRequest) -> Subject:
        return request.param


def test_every_room_of_this_package_has_a_world_under_test() -> None:
    ours = {name for name, point in plugins.find(GROUP).items() if point.value.startswith("gedanken.")}
    under_test = {subject.make().env.spec.id for subject in SUBJECTS if subject.make().env.spec is not None}
    names = {subject.make().name.partition("/")[0] for subject in SUBJECTS}
    assert "InvertedPendulum-v5" in under_test, "of the room `robotics`, whose worlds go by their Gymnasium ids"
    assert ours - {"robotics"} <= names, "add a Subject to tests/worlds/contract.py"
