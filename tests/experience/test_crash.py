"""Nothing that was claimed is lost, and nothing doubled, wherever the process or the disk gives up."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from gedanken.errors import StoreError
from gedanken.experience import Experience, Outcome, faults, journal, log, segments
from gedanken.experience.journal import read_frames
from tests.experience.crashes import Camera, Claims, check_after_crash, write_claiming
from tests.experience.examples import check_consistent, create, fill, header, rewards, step

LABELS = {
    *("append.partly", "append.written", "append.synced", "seal.dropped"),
    *(f"seal.{part}.{at}" for part in ("rows", "steps", "events", "journal") for at in ("written", "renamed")),
}


@pytest.mark.parametrize("stride", [pytest.param(9, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_a_kill_at_any_labelled_point_loses_and_doubles_nothing(tmp_path, monkeypatch, stride):
    claims = Claims()
    experience = create(tmp_path / "x", seal_rows=8)
    camera = Camera(tmp_path / "x", tmp_path / "album", claims)
    real = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(faults, "kill_point", camera)
        patch.setattr(journal.os, "pwrite", lambda handle, content, at: real(handle, content[:1500], at))
        write_claiming(experience, claims, episodes=4)
    experience.close()
    assert {label for label, _, _ in camera.taken} == LABELS
    recovered = {}
    for at, (label, path, then) in enumerate(camera.taken):
        if at % stride == 0 or label not in recovered:
            recovered[label] = check_after_crash(path, then, sql=label not in recovered)
    assert recovered["append.synced"] is None and recovered["seal.steps.renamed"] is None


def test_a_torn_append_is_told_in_words(tmp_path):
    with create(tmp_path / "x") as experience:
        fill(experience, 1, 3)
    (path,) = (tmp_path / "x").glob("journal-*")
    with path.open("ab") as file:
        file.write(b"GDJ1 torn")
    reader = Experience.open(tmp_path / "x")
    assert "last 9 bytes" in reader.recovered and "left out" in reader.recovered
    with Experience.open(tmp_path / "x", write=True) as writer:
        assert "last 9 bytes" in writer.recovered and "All 3 steps" in writer.recovered
    with Experience.open(tmp_path / "x", write=True) as writer:
        assert writer.recovered is None and rewards(writer) == [0, 1, 2]


@pytest.fixture
def cut(tmp_path):
    """A store of 3 sealed steps and 2 in its journal; cuts the journal and tells how many steps that leaves."""
    with create(tmp_path / "x", seal_rows=3) as experience:
        fill(experience, 1, 4)
        experience.begin(header("f"))
        experience.append("f", [step(4)])
    (path,) = (tmp_path / "x").glob("journal-*")
    whole = path.read_bytes()
    with path.open("rb") as file:
        frames = list(read_frames(file))

    def to(size):
        path.write_bytes(whole[:size])
        return 3 + sum(frame.kind == journal.STEPS for frame in frames if frame.end <= size)

    to.path, to.ends = path, [0, *(frame.end for frame in frames)]
    return to


def test_a_journal_cut_anywhere_is_read_and_written_on_from_its_longest_verified_prefix(cut, tmp_path):
    near = {end + off for end in cut.ends for off in (-1, 0, 1)} - {-1, cut.ends[-1] + 1}
    for size in sorted({*range(0, cut.ends[-1], 97), *near}):
        left = cut(size)
        with Experience.open(tmp_path / "x", write=True) as writer:
            assert len(writer) == left and cut.path.stat().st_size == max(end for end in cut.ends if end <= size)
            assert (writer.recovered is None) == (size in cut.ends)
            writer.begin(header("next"))
            writer.append("next", [step(left)])
        assert rewards(Experience.open(tmp_path / "x")) == list(range(left + 1))


@pytest.mark.slow
def test_a_journal_cut_at_every_byte_is_read_to_its_longest_verified_prefix(cut, tmp_path):
    for size in range(cut.ends[-3], cut.ends[-1] + 1):
        left = cut(size)
        reader = Experience.open(tmp_path / "x")
        assert rewards(reader) == list(range(left))
        assert (reader.recovered is None) == (size in cut.ends)


def test_damage_before_good_records_sets_them_aside_and_says_so(tmp_path):
    with create(tmp_path / "x") as experience:
        fill(experience, 1, 5)
    (path,) = (tmp_path / "x").glob("journal-*")
    with path.open("rb") as file:
        frames = list(read_frames(file))
    content = bytearray(path.read_bytes())
    content[frames[3].end - 1] ^= 1  # the third step
    path.write_bytes(content)
    with Experience.open(tmp_path / "x", write=True) as writer:
        assert "3 later records" in writer.recovered and "set aside" in writer.recovered
        assert rewards(writer) == [0, 1]
        (aside,) = (tmp_path / "x").glob("*.damaged")
        assert aside.name in writer.recovered and aside.read_bytes() == bytes(content[frames[2].end :])
        writer.append("e0", [step(2)])
        check_consistent(writer)


# --- A disk that refuses ----------------------------------------------------------------------------------------------


def test_on_a_full_disk_appending_fails_before_the_claim_and_can_be_repeated(tmp_path):
    """The limit is the system's own: writes beyond it are cut short or refused, as on a full disk."""
    program = """
import resource, sys
from pathlib import Path
from gedanken.errors import StoreError
from gedanken.experience import Experience
from tests.experience.examples import create, header, step
with create(Path(sys.argv[1])) as experience:
    experience.begin(header("e"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
    number, refused = 0, 0
    while number < 100:
        try:
            experience.append("e", [step(number)])
            number += 1
        except StoreError as error:
            assert "nothing of it was stored" in str(error), error
            assert len(experience) == number == len(Experience.open(sys.argv[1]))
            assert Experience.open(sys.argv[1]).recovered is None
            refused += 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(refused)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x")], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr
    assert rewards(Experience.open(tmp_path / "x")) == list(range(100))


@pytest.mark.parametrize("fails", ["write_row_file", "write_segment", "new_journal", "drop_journals"])
def test_where_sealing_fails_steps_stay_safe_and_sealing_is_tried_again(tmp_path, monkeypatch, fails):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with create(tmp_path / "x", seal_rows=10) as experience:
        with monkeypatch.context() as patch:
            patch.setattr(log, fails, refuse)
            with pytest.warns(RuntimeWarning, match="safe in the journal"):
                number = fill(experience, 3, 4)
        check_consistent(experience)
        assert rewards(Experience.open(tmp_path / "x")) == list(range(number))
        fill(experience, 3, 4, first=number)
        check_consistent(experience)
    assert list((tmp_path / "x" / "segments").glob("steps-*.parquet"))
    with Experience.open(tmp_path / "x", write=True) as again:
        assert rewards(again) == list(range(24)) and again.recovered is None
        check_consistent(again)
    assert len(list((tmp_path / "x").glob("journal-*"))) == 1


def test_an_interrupt_between_disk_and_memory_asks_to_reopen(tmp_path, monkeypatch):
    experience = create(tmp_path / "x")
    fill(experience, 1, 2)
    experience.begin(header("f"))

    def interrupt(label):
        if label == "append.synced":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(faults, "kill_point", interrupt)
        with pytest.raises(KeyboardInterrupt):
            experience.append("f", [step(2)])
    with pytest.raises(StoreError, match="open it again"):
        experience.append("f", [step(3)])
    experience.close()
    with Experience.open(tmp_path / "x", write=True) as again:
        assert rewards(again) == [0, 1, 2]
        check_consistent(again)


def test_a_forked_child_cannot_write_to_its_parents_store(tmp_path, monkeypatch):
    with create(tmp_path / "x") as experience:
        with monkeypatch.context() as patch:
            patch.setattr(log.os, "getpid", lambda: -1)
            with pytest.raises(StoreError, match="forked"):
                experience.begin(header("e"))
        experience.begin(header("e"))


# --- Files that are gone or came from elsewhere -----------------------------------------------------------------------


def test_missing_and_foreign_segments_are_named(tmp_path, monkeypatch):
    with create(tmp_path / "x", seal_rows=4) as experience:
        fill(experience, 4, 4)
    folder = tmp_path / "x" / "segments"
    kept = shutil.copytree(folder, tmp_path / "kept")

    def opening(match):
        with pytest.raises(StoreError, match=match):
            Experience.open(tmp_path / "x", write=True)
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)

    (folder / "steps-000000000004-000000000008.parquet").unlink()
    opening("lacks something")
    (folder / "steps-000000000012-000000000016.parquet").unlink()
    opening("lacks something")
    shutil.copy(folder / "steps-000000000004-000000000008.parquet", folder / "steps-000000000005-000000000009.parquet")
    opening("another one holds too")
    event = next(folder.glob("events-*"))
    event.write_bytes(event.read_bytes()[:-20])
    opening("cannot be read")
    first, other = sorted(folder.glob("events-*"))[:2]
    first.write_bytes(other.read_bytes())
    opening("another number of rows")
    check_consistent(Experience.open(tmp_path / "x"))


def test_a_flipped_bit_in_a_sealed_segment_does_not_pass_for_data(tmp_path):
    with create(tmp_path / "x", seal_rows=50) as experience:
        fill(experience, 1, 50)
    (path,) = (tmp_path / "x" / "segments").glob("steps-*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    path.with_suffix(".rows").unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        Experience.open(tmp_path / "x").arrays()


def test_a_create_that_was_killed_leaves_no_store_and_can_be_repeated(tmp_path):
    (tmp_path / "x" / "segments").mkdir(parents=True)
    segments.new_journal(tmp_path / "x", 0, 0)
    with pytest.raises(StoreError, match="no experience store here"):
        Experience.open(tmp_path / "x")
    with create(tmp_path / "x") as experience:
        fill(experience, 1, 1)
    check_consistent(Experience.open(tmp_path / "x"))


# --- Real processes ---------------------------------------------------------------------------------------------------

WRITER = """
import os, sys
from pathlib import Path
from gedanken.experience import Outcome
from tests.experience.examples import create, header, step
experience = create(Path(sys.argv[1]), seal_rows=20)
number = 0
while number < int(sys.argv[2]):
    name = f"e{number}"
    experience.begin(header(name))
    for count in (1, 4, 2):
        experience.append(name, [step(each) for each in range(number, number + count)])
        number += count
        os.write(1, f"{number}\\n".encode())
    experience.end(name, Outcome())
"""
QUICK = ["append.written:40", "seal.steps.renamed:1"]
KILLS = sorted({f"{label}:{count}" for label in LABELS for count in (1, 2)} - set(QUICK))


@pytest.mark.parametrize("kill", [*QUICK, *(pytest.param(kill, marks=pytest.mark.slow) for kill in KILLS)])
def test_kill_9_at_a_labelled_point(tmp_path, kill):
    ran = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path / "x"), "100"],
        env={**os.environ, "GEDANKEN_KILL_AT": kill},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
    claimed = int((ran.stdout.split() or [b"0"])[-1])
    if kill.startswith("seal.journal") and kill.endswith(":1"):  # create() makes the first journal, before the manifest
        assert claimed == 0 and not (tmp_path / "x" / "manifest.json").exists()
        create(tmp_path / "x").close()
    with Experience.open(tmp_path / "x", write=True) as experience:
        assert claimed <= len(experience) <= claimed + 4
        assert rewards(experience) == list(range(len(experience)))
        check_consistent(experience)


def test_a_reader_in_another_process_sees_a_growing_prefix_while_the_writer_appends_and_seals(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "x"), "700"], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline()
        reader, lengths, looks = Experience.open(tmp_path / "x"), [], 0
        while writer.poll() is None or looks < 3:
            claimed = 0 if not lengths else lengths[-1]
            if looks % 3 == 0:
                reader = Experience.open(tmp_path / "x")
            else:
                reader.refresh()
            assert rewards(reader) == list(range(len(reader))) and len(reader) >= claimed
            assert sum(len(episode) for episode in reader.episodes()) == len(reader)
            lengths.append(len(reader))
            looks += 1
            os.read(writer.stdout.fileno(), 65536)
        assert writer.returncode == 0
    reader.refresh()
    assert len(reader) == 700 and len(set(lengths)) > 3
    assert reader.episode("e0").outcome == Outcome()
