"""A session lives exactly as long as its process, or until it is closed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gedanken.worlds.sessions import Session, alive


def test_alive_until_closed(tmp_path: Path) -> None:
    session = Session(tmp_path / "sessions")
    assert alive(tmp_path / "sessions", session.id)
    session.close()
    assert not alive(tmp_path / "sessions", session.id)
    assert not alive(tmp_path / "sessions", "never seen")


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_alive_until_its_process_dies(tmp_path: Path, end: signal.Signals | None) -> None:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(tell, Session(tmp_path / "sessions").id.encode())
            if end is not None:
                signal.pause()
        finally:
            os._exit(0)
    session = os.read(told, 100).decode()
    if end is not None:
        assert alive(tmp_path / "sessions", session)
        os.kill(child, end)
    os.waitpid(child, 0)
    assert not alive(tmp_path / "sessions", session)
    assert list((tmp_path / "sessions").iterdir()) == [], "its file is cleared away"
    os.close(told)
    os.close(tell)


def test_a_forked_child_does_not_end_it(tmp_path: Path) -> None:
    session = Session(tmp_path / "sessions")
    child = os.fork()
    if child == 0:
        try:
            session.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert alive(tmp_path / "sessions", session.id)
    session.close()
