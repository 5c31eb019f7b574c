"""The benchmark of selection: studies are what they are called, and a small one writes every figure."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from benchmarks.evidence_selection import WITH_MODEL, WITHOUT, Config, Kind, main, study
from benchmarks.results import Results, read


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("good", 0.85, 0.95), ("useless", -0.1, 0.1), ("reversed", -0.95, -0.85)]
)
def test_a_model_knows_as_much_as_its_name_says(kind, low: float, high: float) -> None:
    truth, imagined = study(kind, 5_000, np.random.default_rng(0))
    assert low <= np.corrcoef(truth, imagined)[0, 1] <= high


def test_models_that_mislead_do_so_about_the_best_and_the_worst() -> None:
    truth, imagined = study("slander", 20, np.random.default_rng(0))
    assert imagined.argmin() == truth.argmax()
    assert imagined.argmax() == truth.argmin()
    truth, imagined = study("exploited", 20, np.random.default_rng(0))
    assert set(np.argsort(imagined)[-3:]) == set(np.argsort(truth)[:3])


def test_kinds_differ_in_what_the_model_says_alone() -> None:
    truths = [study(kind, 9, np.random.default_rng(4)).truth for kind in get_args(Kind)]
    assert all((truth == truths[0]).all() for truth in truths)


def test_a_small_one_writes_every_figure(tmp_path: Path) -> None:
    config = Config(studies=2, seeds=(0,), episodes=(4,), policies=5)
    main(config, Results("evidence", command="python -m benchmarks.evidence_selection", folder=tmp_path))
    rows = [row for row in read(tmp_path / "evidence.csv") if row.claim == "selection"]
    assert {row.method for row in rows} == WITH_MODEL.keys() | WITHOUT.keys()
    assert len({row.world for row in rows}) == 5
    assert {row.metric for row in rows} == {"regret", "found_best", "expected_regret"}
    assert all(row.paid == 4 and row.value >= 0.0 for row in rows)
