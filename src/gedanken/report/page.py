"""The report as one self-contained HTML file: nothing in it loads anything, and its own policy forbids it to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from plotly.offline import get_plotlyjs

from gedanken.errors import FileError
from gedanken.report.data import ReportData
from gedanken.report.markup import Canvas, amounts, interval_ends, interval_mean, script_json, text
from gedanken.report.sections import SECTIONS, counted, headline
from gedanken.report.theme import css_variables, swaps

NAME = "report.html"

# Scripts and styles only from this very file; no connection to anywhere.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def write_report(folder: Path, data: ReportData) -> Path:
    """Writes `report.html` into a run folder.

    Args:
        folder: the run folder; made if it is not there.
        data: what to show.

    Returns:
        The file's path.

    Raises:
        FileError: the file cannot be written.
    """
    return write_page(folder / NAME, render(data))


def render(data: ReportData) -> str:
    """The page of one run."""
    canvas = Canvas()
    body = f"""<header><p class="eyebrow">Gedanken report</p><h1>{text(data.headline.world)}</h1>
<p class="summary">{summary(data)}</p>{contents(SECTIONS)}</header>
{headline(data)}{sections(data, canvas)}"""
    return document(f"{data.headline.world} · Gedanken report", body, canvas)


def summary(data: ReportData) -> str:
    """One sentence: what was paid, what was imagined, what came of it."""
    top = data.headline
    real = top.real_return
    came = "" if real.mean is None else f"In {counted(real.count, 'real episode')} it earns {interval_mean(real)}"
    came += "." if came and real.low is None else f" {interval_ends(real)}." if came else ""
    return (
        f"An agent that paid for {amounts(top.paid)} of the real world and rehearsed "
        f"{top.imagined_steps:,} steps in a model learned from them. {came}"
    )


def contents(listed: Sequence[tuple[str, str, str, object]], prefix: str = "") -> str:
    """The list of contents."""
    links = "".join(f'<a href="#{prefix}{anchor}">{short}</a>' for anchor, _, short, _ in listed)
    return f"<nav>{links}</nav>"


def sections(data: ReportData, canvas: Canvas, *, prefix: str = "", heading: str = "h2") -> str:
    """All sections of one run."""
    return "".join(
        f'<section id="{prefix}{part.anchor}"><{heading}>{part.title}</{heading}>{part.write(data, canvas)}</section>'
        for part in SECTIONS
    )


def document(title: str, body: str, canvas: Canvas) -> str:
    """The whole HTML file around a body; plotly.js goes in once."""
    own = files("gedanken.report")
    css, javascript = (own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>
:root {{ {css_variables(dark=False)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {css_variables(dark=True)} }} }}
{css}</style>
</head>
<body>
<main>
{body}
<noscript><p class="missing">The figures need JavaScript; every number is in the tables.</p></noscript>
<footer>Intervals are 95 % unless said otherwise. What was not measured says so. This file loads nothing.</footer>
</main>
<script type="application/json" id="figures">{canvas.script()}</script>
<script type="application/json" id="swaps">{script_json(swaps())}</script>
<script>{get_plotlyjs()}</script>
<script>{javascript}</script>
</body>
</html>
"""


def write_page(path: Path, page: str) -> Path:
    """Writes a page whole or not at all.

    Raises:
        FileError: the file cannot be written.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            half.write_text(page, encoding="utf-8")
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(
            "The report cannot be written.",
            given=f"{path}: {error.strerror or error}",
            expected="a folder that may be written to, and about 6 MB of room on its disk",
            do="free some room or choose another folder; the run's data are not touched.",
        ) from error
    return path
