"""A command line in this process, a tiny run, and the environment of one in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gedanken.cli import main
from tests.cli.worlds import POINT

ROOT = Path(__file__).parent.parent.parent

SMALL = {
    "updates_per_step": 0.5,
    "collect": {"warmup": 60, "warmup_horizon": 20, "steps": 60},
    "model": {"members": 2, "width": 16, "depth": 1, "reward_width": 16, "reward_depth": 1},
    "fit": {"least": 20, "most": 40, "chunk": 20, "batch": 32},
    "value_gradient": {
        "width": 16,
        "chunk": 10,
        "distribution_starts": 16,
        "distribution_horizon": 5,
        "horizon": 2,
        "pool": 256,
    },
    "check": {"episodes": 2, "imagined": 4},
}


class Said(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def gedanken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs a command in this process."""
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def run(*words: object) -> Said:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of settings for a tiny run."""

    def write(world: str = POINT, **changes: Any) -> Path:
        path = tmp_path / "settings.yaml"
        # JSON is YAML.
        path.write_text(json.dumps({"world": world, "budget": {"steps": 120}, **SMALL, **changes}))
        return path

    return write


def start(*words: object, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """Starts a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "gedanken.cli", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 600) -> Said:
    """Waits for it."""
    out, err = process.communicate(timeout=timeout)
    return Said(process.returncode, out, err)
