"""Hostile and clumsy programs, really run. Nothing of them gets out, and nothing is left of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gedanken.errors import ConfigError
from gedanken.worlds.sandbox import Execution, Isolation, Limits, Status, available, execute, isolation, require

TIGHT = Limits(seconds=8.0, memory_mb=300, disk_mb=20, output_kb=100, processes=12)
WORKING = [level for level, why in available().items() if not why]
APART = [level for level in WORKING if level is not Isolation.LIMITS]


def run(folder: Path, program: str, level: Isolation, limits: Limits = TIGHT, **options: object) -> Execution:
    return execute(["python", "-c", program], folder, limits=limits, isolation=level, **options)  # type: ignore[arg-type]


@pytest.fixture(params=WORKING)
def level(request: pytest.FixtureRequest) -> Isolation:
    return request.param


@pytest.fixture(params=APART)
def apart(request: pytest.FixtureRequest) -> Isolation:
    return request.param


def test_this_machine_isolates() -> None:
    """Or the tests below have tested nothing."""
    assert APART, available()


# --- What a program may do ------------------------------------------------------------------------------------------


def test_a_program_works_in_its_folder_and_is_told_its_end(tmp_path: Path, level: Isolation) -> None:
    (tmp_path / "given").write_text("7")
    said = run(tmp_path, "open('made', 'w').write(open('given').read() * 2); print('done')", level)
    assert (said.status, said.exit_code, said.stdout, said.isolation) == (Status.OK, 0, "done\n", level)
    assert (tmp_path / "made").read_text() == "77" and said.wall_ms > 0


def test_its_packages_are_there(tmp_path: Path, level: Isolation) -> None:
    said = run(tmp_path, "import numpy, scipy; print(numpy.ones(3).sum())", level)
    assert said.stdout == "3.0\n", said.stderr


@pytest.mark.parametrize(
    ("program", "status", "code"),
    [
        ("import sys; print('no', file=sys.stderr); sys.exit(3)", Status.FAILED, 3),
        ("1 / 0", Status.FAILED, 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Status.KILLED, 128 + 11),
    ],
)
def test_how_it_ended_is_told(tmp_path: Path, level: Isolation, program: str, status: Status, code: int) -> None:
    said = run(tmp_path, program, level)
    assert (said.status, said.exit_code) == (status, code)


def test_it_gets_its_own_environment_and_no_other(
    tmp_path: Path, level: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    said = run(tmp_path, "import os; print(sorted(os.environ))", level, environment={"GIVEN": "1"})
    assert "API_KEY" not in said.stdout and "GIVEN" in said.stdout


def test_what_else_it_may_read_it_cannot_write(tmp_path: Path, apart: Isolation) -> None:
    (tmp_path / "work").mkdir()
    data = tmp_path / "data"
    data.mkdir()
    (data / "x").write_text("5")
    said = run(tmp_path / "work", f"print(open({str(data / 'x')!r}).read())", apart, readable=[data])
    assert said.stdout == "5\n"
    said = run(tmp_path / "work", f"open({str(data / 'y')!r}, 'w')", apart, readable=[data])
    assert said.status is Status.FAILED and not (data / "y").exists()


def test_processor_time_counts_all_its_processes(tmp_path: Path, level: Isolation) -> None:
    busy = """
import os, time
def work():
    end = time.process_time() + 0.4
    while time.process_time() < end: pass
child = os.fork()
work()
if child: os.waitpid(child, 0)
"""
    said = run(tmp_path, busy, level)
    assert said.status is Status.OK and 600 < said.cpu_ms < 2_000


# --- What it may not ------------------------------------------------------------------------------------------------

GREEDY = {
    "an endless loop": ("while True: pass", Status.TIMEOUT),
    "sleep": ("import time; time.sleep(100)", Status.TIMEOUT),
    "a fork bomb": ("import os\nwhile True: os.fork()", Status.PROCESSES),
    "threads that fork": (
        "import subprocess, sys\nwhile True: subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
        Status.PROCESSES,
    ),
    "memory": ("kept = []\nwhile True: kept.append(bytearray(b'x') * 20_000_000)", Status.MEMORY),
    "memory of many": (
        "import os, time\nfor _ in range(6):\n  if not os.fork():\n    x = bytearray(b'x') * 80_000_000\n"
        "    time.sleep(60)\ntime.sleep(60)",
        Status.MEMORY,
    ),
    "many files": ("n = 0\nwhile True:\n  open(str(n), 'wb').write(b'x' * 1_000_000)\n  n += 1", Status.DISK),
    "endless output": ("while True: print('x' * 1000)", Status.OUTPUT),
    "endless complaints": ("import sys\nwhile True: print('x' * 1000, file=sys.stderr)", Status.OUTPUT),
}


@pytest.mark.parametrize("what", GREEDY)
def test_a_greedy_program_is_ended_and_nothing_of_it_is_left(tmp_path: Path, level: Isolation, what: str) -> None:
    program, status = GREEDY[what]
    limits = (
        Limits(seconds=1.0, memory_mb=300, disk_mb=20, output_kb=100, processes=12)
        if status is Status.TIMEOUT
        else TIGHT
    )
    marked = f"# {tmp_path.name}\n{program}"
    began = time.monotonic()
    said = run(tmp_path, marked, level, limits)
    assert said.status is status and said.exit_code is None
    assert time.monotonic() - began < limits.seconds + 8
    assert tmp_path.name not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert len(said.stdout) <= 16_384 and len(said.stderr) <= 16_384


def test_one_huge_file_cannot_be_written(tmp_path: Path, level: Isolation) -> None:
    said = run(tmp_path, "f = open('x', 'wb')\nwhile True: f.write(b'x' * 1_000_000)", level)
    assert said.status in (Status.FAILED, Status.DISK)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= TIGHT.disk_mb << 20


def test_what_it_leaves_behind_is_ended_with_it(tmp_path: Path, level: Isolation) -> None:
    """A process that has left its session and its parent."""
    program = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(3)
        open('late', 'w').write('x')
    os._exit(0)
print('left')
"""
    said = run(tmp_path, program, level)
    assert said.status is Status.OK and said.stdout == "left\n" and said.wall_ms < 2_800
    time.sleep(3.5)
    assert not (tmp_path / "late").exists()


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server.getsockname()[1]
        with pytest.raises(TimeoutError):
            server.accept()


def test_it_reaches_no_network(tmp_path: Path, apart: Isolation, listening: int) -> None:
    said = run(
        tmp_path, f"import socket; socket.create_connection(('127.0.0.1', {listening}), 3); print('there')", apart
    )
    assert said.status is Status.FAILED and "there" not in said.stdout


def test_it_reads_nobodys_files(tmp_path: Path, apart: Isolation) -> None:
    (tmp_path / "work").mkdir()
    hidden = tmp_path / "hidden.csv"
    hidden.write_text("the split that counts")
    for way in (str(hidden), "../hidden.csv", f"/proc/{os.getpid()}/root{hidden}", f"/proc/{os.getpid()}/environ"):
        said = run(tmp_path / "work", f"print(open({way!r}).read())", apart)
        assert said.status is Status.FAILED and "that counts" not in said.stdout, way


def test_a_link_out_of_its_folder_leads_nowhere(tmp_path: Path, apart: Isolation) -> None:
    (tmp_path / "work").mkdir()
    hidden = tmp_path / "hidden"
    hidden.write_text("mine")
    program = f"import os; os.symlink({str(hidden)!r}, 'link'); open('link', 'a').write('theirs')"
    assert run(tmp_path / "work", program, apart).status is Status.FAILED
    assert hidden.read_text() == "mine"


def test_it_writes_nowhere_else(tmp_path: Path, apart: Isolation) -> None:
    (tmp_path / "work").mkdir()
    code = Path(isolation.__file__)
    before = code.read_bytes()
    for place in ("/usr/x", "/etc/x", sys.prefix + "/x", str(code), str(tmp_path / "x")):
        said = run(tmp_path / "work", f"open({place!r}, 'a').write('x')", apart)
        # What bubblewrap shows as /tmp is the program's own, and limited.
        assert said.status is Status.FAILED or place.startswith("/tmp"), place
        assert Path(place) == code or not Path(place).exists()
    assert code.read_bytes() == before


@pytest.mark.parametrize("place", ["/", "/dev/", "/etc/", "/sandbox/../"])
def test_it_fills_no_memory_with_files(tmp_path: Path, apart: Isolation, place: str) -> None:
    said = run(tmp_path, f"open({place!r} + 'x', 'wb').write(b'x' * 1_000)", apart)
    assert said.status is Status.FAILED


def test_its_signals_reach_nobody_else(tmp_path: Path, apart: Isolation) -> None:
    if apart is Isolation.LANDLOCK and not _scoped():
        pytest.skip("this kernel's Landlock does not refuse signals")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as bystander:
        program = f"""
import os, signal
for pid in [{bystander.pid}, {os.getpid()}, *range(2, 400)]:
    if pid != os.getpid():
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
"""
        run(tmp_path, program, apart)
        assert bystander.poll() is None
        bystander.kill()


def _scoped() -> bool:
    from gedanken.worlds.sandbox import landlock

    return landlock._version() >= 6


def test_when_we_die_it_dies(tmp_path: Path, level: Isolation) -> None:
    script = f"""
from pathlib import Path
from gedanken.worlds.sandbox import Isolation, execute
program = "import time\\nfor i in range(40): open('alive', 'w').write(str(i)); time.sleep(0.1)"
execute(["python", "-c", program], Path({str(tmp_path)!r}), isolation=Isolation({level.value!r}))
"""
    with subprocess.Popen([sys.executable, "-c", script]) as ours:
        for _ in range(200):
            if (tmp_path / "alive").exists():
                break
            time.sleep(0.05)
        ours.kill()
        ours.wait()
    time.sleep(0.5)
    before = (tmp_path / "alive").read_text()
    time.sleep(0.5)
    assert (tmp_path / "alive").read_text() == before


def test_several_at_once_do_not_meet(tmp_path: Path, level: Isolation) -> None:
    said: dict[int, Execution] = {}

    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        said[number] = run(folder, f"import time; time.sleep(0.3); print({number})", level)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: each.stdout for number, each in said.items()} == {n: f"{n}\n" for n in range(4)}


# --- What is not there is not pretended -----------------------------------------------------------------------------


def test_isolation_that_is_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "missing", lambda level: "forbidden" if level is Isolation.BUBBLEWRAP else "")
    with pytest.raises(ConfigError, match="so none is run"):
        require(Isolation.BUBBLEWRAP)
    with pytest.raises(ConfigError, match="forbidden"):
        run(tmp_path, "open('ran', 'w')", Isolation.BUBBLEWRAP)
    assert not (tmp_path / "ran").exists()


def test_a_bubblewrap_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.shutil, "which", lambda _: None)
    assert "not installed" in isolation._bubblewrap_missing()


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"memory_mb": -1}, {"processes": 0}])
def test_limits_that_leave_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="leaves nothing"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_a_folder_that_is_none_is_refused(tmp_path: Path, level: Isolation) -> None:
    with pytest.raises(ConfigError, match="folder"):
        run(tmp_path / "nowhere", "print(1)", level)
