"""Every kind of agent against the contract (see tests/agents/contract.py)."""

from __future__ import annotations

import pytest

from gedanken.experience.codec import Codec
from tests.agents.contract import KINDS, AgentContract, Kind, codec_of


class TestEveryAgent(AgentContract):
    @pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
    def kind(self, request: pytest.FixtureRequest) -> Kind:
        return request.param

    @pytest.fixture(params=[False, True], ids=["continuous", "choices"])
    def codec(self, request: pytest.FixtureRequest) -> Codec:
        return codec_of(discrete=request.param)
