import dataclasses
import io
from pathlib import Path

from rich.console import Console

from gedanken.report.data import NotMeasured, Reference
from gedanken.report.table import FACTS, final_text, print_final
from tests.report.example import bare_report, full_report


def printed(*, terminal: bool, width: int = 100, results=None) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    results = results if results is not None else [full_report().headline, bare_report().headline]
    print_final(results, Path("runs/one/report.html"), console=console)
    return out.getvalue()


def test_a_terminal_gets_a_table_with_a_column_a_world() -> None:
    shown = printed(terminal=True)
    lines = shown.splitlines()
    assert "InvertedPendulum-v5" in lines[1] and "Pendulum-v1" in lines[1]
    assert any("Paid to learn" in line and "1,480 steps" in line and "nothing" in line for line in lines)
    assert "SAC (Stable-Baselines3): 7,500 steps" in shown and lines[-1] == "Report: runs/one/report.html"
    assert all(len(line) <= 100 for line in lines)
    assert all(len(line) <= 60 for line in printed(terminal=True, width=60).splitlines())


def test_without_a_terminal_it_is_one_fact_a_line_and_never_wrapped() -> None:
    lines = printed(terminal=False, width=20).splitlines()
    assert lines[0].split(maxsplit=1) == ["World", "InvertedPendulum-v5"]
    assert any(line.startswith("Real return ") and "n=10" in line for line in lines)
    assert any(line.startswith("Real return ") and "not measured (the budget ended" in line for line in lines)
    assert len(lines) == 2 * (len(FACTS) + 1) + 2 and not any(ord(mark) > 127 for mark in "".join(lines))


def test_a_reference_that_did_not_get_there_says_how_far_it_was_measured() -> None:
    top = full_report().headline
    never = dataclasses.replace(top, reference=Reference("SAC", None, 50_000, "file.csv", 1))
    assert "SAC: more than 50,000 steps (1 seed)" in final_text([never])
    unknown = dataclasses.replace(top, reference=NotMeasured("no file"))
    assert "not measured (no file)" in final_text([unknown])


def test_names_are_not_read_as_markup() -> None:
    odd = dataclasses.replace(full_report().headline, world="[bold]x[/nothing]")
    assert "[bold]x[/nothing]" in printed(terminal=True, results=[odd])
    assert "[bold]x[/nothing]" in printed(terminal=False, results=[odd])
