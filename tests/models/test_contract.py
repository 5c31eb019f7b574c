"""Every family of numeric world models against the contract (see tests/models/contract.py)."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from tests.models.contract import FAMILIES, Family, VectorModelContract


class TestEveryFamily(VectorModelContract):
    @pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
    def family(self, request: pytest.FixtureRequest) -> Family:
        return request.param


def test_every_family_that_is_published_is_under_test() -> None:
    published = {point.name for point in entry_points(group="gedanken.models") if point.value.startswith("gedanken.")}
    assert published <= {family.name for family in FAMILIES}, "add a Family to tests/models/contract.py"
