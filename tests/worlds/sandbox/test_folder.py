from pathlib import Path

import pytest

from gedanken.worlds.sandbox import Isolation, Limits, Status, execute
from gedanken.worlds.sandbox.folder import remove, temporary_folder


def test_it_is_there_for_a_while() -> None:
    with temporary_folder() as folder:
        (folder / "x").write_text("x")
    assert not folder.exists()
    with pytest.raises(ZeroDivisionError), temporary_folder() as folder:
        raise ZeroDivisionError
    assert not folder.exists()


def test_everything_in_it_is_removed_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    folder = tmp_path / "folder"
    for name in ("a/b/c", "a/d", "e"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("x")
    (folder / "a" / "link").symlink_to(outside)
    (folder / "dangling").symlink_to("nowhere")
    (folder / "a" / "b").chmod(0)
    remove(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"] and (outside / "kept").exists()


def test_a_link_to_a_folder_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    with pytest.raises(NotADirectoryError):
        remove(tmp_path / "link")
    assert (tmp_path / "kept").exists()


def test_files_too_deep_to_be_counted_break_the_limit_of_the_disk() -> None:
    program = "import os, time\nfor _ in range(20):\n  os.mkdir('d' * 250); os.chdir('d' * 250)\ntime.sleep(20)"
    with temporary_folder() as folder:
        done = execute(["python", "-c", program], folder, limits=Limits(seconds=10), isolation=Isolation.LIMITS)
    assert done.status is Status.DISK and not folder.exists()
