"""The package as somebody who installed it meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import gedanken as gd
from tests.intermediary.small import small


def python(*lines: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", gd.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(gd, name)
    assert (found.__doc__ or "").strip()
    assert name in dir(gd)


def test_the_list_of_names_is_complete_and_in_order() -> None:
    assert list(gd.__all__) == sorted(set(gd.__all__))
    assert set(gd._HOME) == set(gd.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wrld'"):
        gd.Wrld  # noqa: B018


def test_it_has_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", gd.__version__)


def test_it_ships_its_types() -> None:
    assert files("gedanken").joinpath("py.typed").is_file()


def test_importing_it_is_quick_and_brings_no_jax() -> None:
    heavy = "jax", "duckdb", "pyarrow", "mujoco", "gymnasium", "torch"
    loaded = python("import sys, gedanken", f"print([name for name in {heavy!r} if name in sys.modules])")
    assert loaded == "[]"


def test_a_star_import_brings_all() -> None:
    assert python("from gedanken import *", "print(Intermediary.__name__, World.__name__)") == "Intermediary World"


def test_the_example_of_the_docstring_runs(tmp_path: Path) -> None:
    assert gd.__doc__ is not None
    example = gd.__doc__[gd.__doc__.index("import gymnasium") :]
    # The same lines with a smaller world, budget and networks.
    example = example.replace("Hopper-v5", "Pendulum-v1").replace("50_000", "30")
    example = example.replace("gd.Budget(steps=30)", "gd.Budget(steps=30), config=config, folder=folder")
    assert "config=config" in example
    names = {"config": small(), "folder": tmp_path}
    exec(compile(example, "docstring", "exec"), names)
    result = names["result"]
    assert isinstance(result, gd.Result) and result.paid == {"steps": 30}
    assert result.agent.act(np.zeros(3, np.float32)).shape == (1,)
    between = names["between"]
    assert isinstance(between, gd.Intermediary)
    between.close()
