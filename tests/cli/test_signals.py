"""Real signals, sent to real processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gedanken.cli.signals import Stopper
from gedanken.errors import Interrupted
from tests.cli.conftest import ROOT

# Works as a run does, without JAX: short safe points between pieces of work that `busy` makes long.
_WORK = """
import sys, time
from gedanken.cli import signals
from gedanken.errors import Interrupted
signals.GRACE_S = 0.5
kind = sys.argv[1]
try:
    with signals.Stopper("gedanken resume runs/x") as stopper:
        print("ready", flush=True)
        while True:
            if kind == "points":
                time.sleep(0.01)
                stopper.check()
            elif kind == "busy":
                time.sleep(60)
            else:  # deaf: what is raised is not let out
                try:
                    time.sleep(60)
                except KeyboardInterrupt:
                    print("deaf", flush=True)
except Interrupted as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


def working(kind):
    process = subprocess.Popen(
        [sys.executable, "-c", _WORK, kind],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_at_the_next_safe_point(number):
    process = working("points")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "gedanken resume runs/x" in out
    assert "next safe point" in err


def test_the_second_stops_at_once_where_no_safe_point_comes():
    process = working("busy")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "\n"
    assert "next safe point" in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped at once" in out


def test_a_second_sigterm_asks_no_more_than_the_first():
    process = working("busy")
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_process_that_does_not_listen_is_ended():
    process = working("deaf")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "gedanken resume runs/x" in err


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stopper("gedanken resume x") as stopper:
        stopper.check()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_who_was_asked_to_stop_is_asked_no_more():
    """Python takes its own handlers away when it ends: a late Ctrl-C would then change the status."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Stopper("gedanken resume x") as stopper:
            os.kill(os.getpid(), signal.SIGTERM)
            ends = time.monotonic() + 10
            while not stopper.asked and time.monotonic() < ends:
                time.sleep(0.01)
            with pytest.raises(Interrupted, match="gedanken resume x"):
                stopper.check()
        assert {signal.getsignal(number) for number in before} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert signal.set_wakeup_fd(-1) == -1
