"""Several runs in one page: a table of all, then the report of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gedanken.errors import ConfigError
from gedanken.report.data import ReportData
from gedanken.report.markup import Canvas, table, text
from gedanken.report.page import contents, document, sections, summary, write_page
from gedanken.report.sections import SECTIONS, headline
from gedanken.report.table import FACTS, facts


def write_comparison(path: Path, runs: Sequence[ReportData]) -> Path:
    """Writes one HTML file of several runs.

    Args:
        path: the file.
        runs: what to show, in this order.

    Returns:
        The file's path.

    Raises:
        ConfigError: there are no runs.
        FileError: the file cannot be written.
    """
    return write_page(path, render_comparison(runs))


def render_comparison(runs: Sequence[ReportData]) -> str:
    """The page of several runs; plotly.js goes in once.

    Raises:
        ConfigError: there are no runs.
    """
    if not runs:
        raise ConfigError("There is nothing to compare.", given="no runs", expected="at least one")
    canvas = Canvas()
    links = "".join(f'<a href="#run-{i}">{text(run.headline.world)}</a>' for i, run in enumerate(runs))
    rows = [(run.headline.world, *facts(run.headline)) for run in runs]
    articles = "".join(_article(i, run, canvas) for i, run in enumerate(runs))
    title = " and ".join(run.headline.world for run in runs) if len(runs) < 4 else f"{len(runs)} runs"
    body = f"""<header><p class="eyebrow">Gedanken report</p><h1>{text(title)}</h1>
<p class="summary">Agents that paid for little of the real world and rehearsed the rest in a model learned from it.</p>
<nav>{links}</nav></header>
<section id="overview">{table(("World", *FACTS), rows, numeric=(3,))}</section>{articles}"""
    return document(f"{title} · Gedanken report", body, canvas)


def _article(index: int, run: ReportData, canvas: Canvas) -> str:
    prefix = f"run-{index}-"
    return (
        f'<article id="run-{index}"><h2>{text(run.headline.world)}</h2><p class="summary">{summary(run)}</p>'
        f"{contents(SECTIONS, prefix)}{headline(run)}{sections(run, canvas, prefix=prefix, heading='h3')}</article>"
    )
