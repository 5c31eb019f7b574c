"""Anchors in whole runs: off they are not there at all, on they recalibrate at every fit, and resume as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gedanken.errors import Interrupted
from gedanken.intermediary.anchors import AnchorsConfig
from gedanken.intermediary.config import from_plain, to_plain
from gedanken.intermediary.run import Run, run_id
from gedanken.models.anchored import AnchoredModel
from gedanken.models.recalibration import KINDS, RecalibrationConfig
from tests.intermediary.small import CHECKED, StopAt, between, linear, parameters, result_of, small

FEW = RecalibrationConfig(least=6, folds=2, per_bin=1, knots=4, centres=4)
ON: dict[str, Any] = {"anchors": AnchorsConfig(on=True, recalibration=FEW)}


def test_anchors_that_are_off_leave_a_run_its_name_and_with_it_its_random_numbers() -> None:
    described = to_plain(small())
    del described["anchors"]
    assert run_id(small(), linear()) == "run-c038b11517e2"  # as it was before there were anchors
    assert run_id(small(**ON), linear()) != run_id(small(), linear())
    assert from_plain(described) == small() and from_plain(to_plain(small(**ON))) == small(**ON)


def test_without_anchors_there_is_no_trace_of_them(tmp_path: Path) -> None:
    with between(tmp_path / "run") as off:
        off.run()
    assert not (tmp_path / "run" / "anchors.json").exists()
    assert "anchors" not in (tmp_path / "run" / "metrics.csv").read_text()


@pytest.mark.slow
def test_with_anchors_the_model_is_recalibrated_and_the_card_tells(tmp_path: Path) -> None:
    with between(tmp_path / "run", **ON, **CHECKED) as on:
        on.run()
    with Run.open(tmp_path / "run", world=linear()) as run:
        model: Any = run.model
        assert isinstance(model, AnchoredModel)
    told = json.loads((tmp_path / "run" / "anchors.json").read_text())
    assert told["chosen"] == model.recalibration.kind in KINDS and told["model"] == model.id
    assert told["anchors"] == int(model.recalibration.anchors) >= 6 and "held-out error" in told["reason"]
    assert AnchoredModel.load(tmp_path / "run" / "model").id == model.id
    card = (tmp_path / "run" / "model_card.md").read_text()
    assert f"`{model.id}`" in card and told["reason"] in card
    assert ",anchors," in (tmp_path / "run" / "metrics.csv").read_text()


@pytest.mark.slow
def test_an_interrupted_run_with_anchors_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    with between(tmp_path / "whole", **ON, **CHECKED) as whole:
        whole.run()
    with between(tmp_path / "cut", **ON, **CHECKED) as cut, pytest.raises(Interrupted):
        cut.run(StopAt("learn", 2))
    with between(tmp_path / "cut", **ON, **CHECKED) as cut:
        cut.run()
    assert result_of(tmp_path / "cut") == result_of(tmp_path / "whole")
    assert parameters(tmp_path / "cut") == parameters(tmp_path / "whole")
