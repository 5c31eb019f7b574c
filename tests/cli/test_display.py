import io
import json

import pytest
from rich.console import Console

from gedanken.cli import display as module
from gedanken.cli.display import Lines, Live, Quiet, as_line, display
from gedanken.intermediary.stages import Status

STATUS = Status(
    "learn",
    paid={"steps": 400},
    budget={"steps": 1_500, "milliseconds": 9_000},
    imagined_steps=120_000,
    model_error=0.21345,
    last_return=-153.2,
    seconds=12.4,
)


def test_a_line_tells_what_is_paid_imagined_and_known():
    assert as_line("Pendulum-v1", STATUS) == (
        "Pendulum-v1  learn     paid 400/1,500 steps, 0/9,000 milliseconds  imagined 120,000  "
        "model error 0.213  return -153.2  12 s"
    )
    early = Status("collect", paid={}, budget={"steps": 9}, imagined_steps=0)
    assert as_line("P", early) == "P  collect   paid 0/9 steps  imagined 0  0 s"


def test_lines_are_few_but_every_change_of_stage_has_one(capsys):
    with Lines(lambda name, status: f"{name} {status.stage}", every=3600) as lines:
        for stage in ("collect", "collect", "fit", "fit", "learn", "collect"):
            lines.show("a", Status(stage, {}, {}, 0))
            lines.show("b", Status("fit", {}, {}, 0))
    told = capsys.readouterr()
    assert told.err.split("\n") == ["a collect", "b fit", "a fit", "a learn", "a collect", ""]
    assert told.out == ""


def test_json_lines_can_be_read_back_as_a_status(capsys):
    with display("json") as shown:
        shown.show("Pendulum-v1", STATUS)
    told = json.loads(capsys.readouterr().err)
    assert told.pop("world") == "Pendulum-v1"
    assert Status(**told) == STATUS


def test_the_live_display_shows_every_run():
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with Live(console) as live:
        live.show("Pendulum-v1", STATUS)
        live.show("Hopper-v5", STATUS)
        live.show("Pendulum-v1", STATUS)
    told = console.file.getvalue()
    assert "Pendulum-v1" in told
    assert "Hopper-v5" in told
    assert "imagined 120,000" in told


@pytest.mark.parametrize("terminal", [True, False])
def test_the_style_follows_the_terminal(monkeypatch, terminal):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: terminal, raising=False)
    assert isinstance(display("auto"), Live if terminal else Lines)
    assert isinstance(display("lines"), Lines)
    assert type(display("none")) is Quiet
