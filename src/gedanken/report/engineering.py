"""The report of a campaign of programs: the score against compute, what was foreseen, what each one brought."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gedanken.intermediary.attempt_log import Entry
from gedanken.intermediary.engineered import Engineered
from gedanken.intermediary.engineering import Engineering
from gedanken.report.drawing import diagonal
from gedanken.report.markup import Canvas, duration, missing, pairs, table, text
from gedanken.report.page import document, write_page
from gedanken.report.theme import colour, figure

NAME = "report.html"


def write_engineering_report(campaign: Engineering) -> Path:
    """Writes report.html into the campaign's folder.

    Raises:
        FileError: the file cannot be written.
    """
    return write_page(campaign.folder / NAME, render_engineering(campaign))


def render_engineering(campaign: Engineering) -> str:
    """The page of one campaign."""
    canvas, found = Canvas(), campaign.outcome()
    entries = [entry for _, entry in sorted(campaign.log.entries.items())]
    task = campaign.task
    tiles = "".join(
        f'<div class="tile" style="--mark:var(--{role})"><h4>{name}</h4><p class="value">{value}</p><p>{note}</p></div>'
        for name, value, note, role in _tiles(found)
    )
    sections = (
        ("progress", "What was reached", _progress(found, entries, canvas)),
        ("scores", "What was foreseen", _foreseen(entries, canvas)),
        ("failures", "What did not work", _failures(found, entries)),
        ("best", "The best program", _best(found)),
        ("attempts", "Every program", _listed(entries, campaign)),
        ("settings", "Settings", pairs({k: json.dumps(v) for k, v in dataclasses.asdict(campaign.config).items()})),
    )
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in sections)
    way = "up" if task.metric.greater_is_better else "down"
    summary = f"{text(task.about)} {len(entries)} programs; {text(str(task.metric))} should go {way}."
    body = f"""<header><p class="eyebrow">Gedanken report</p><h1>{text(task.name)}</h1>
<p class="summary">{summary}</p><nav>{links}</nav></header><div class="tiles">{tiles}</div>"""
    body += "".join(f'<section id="{anchor}"><h2>{title}</h2>{inner}</section>' for anchor, title, inner in sections)
    return document(f"{task.name} · Gedanken report", body, canvas)


def _tiles(found: Engineered) -> Sequence[tuple[str, str, str, str]]:
    hidden, best = found.hidden, found.best
    score = "not measured" if best is None or best.validation is None else f"{best.validation.score:.4g}"
    unseen, note = "not measured", "on rows that nobody planned by"
    if hidden is not None:
        unseen = f"{hidden.score:.4g}"
        if hidden.low is not None and hidden.high is not None:
            note = f"[{hidden.low:.4g}, {hidden.high:.4g}] with 95 %, {note}"
    hits, count = found.foresaw.skill
    held = f"{hits} of {count}" if count else "not measured"
    return (
        ("Paid", duration(found.paid["milliseconds"] / 1_000), "of programs running", "real"),
        (f"Best {text(found.metric)}", score, "on the validation rows", "check"),
        (f"Hidden {text(found.metric)}", unseen, note, "reference"),
        ("90 % intervals that held", held, "of scores foretold before the run", "model"),
    )


def _progress(found: Engineered, entries: Sequence[Entry], canvas: Canvas) -> str:
    if found.best is None:
        return missing("no program has given an answer")
    made = figure(x="seconds of compute", y=f"{found.metric} on the validation rows", height=380)
    over = sorted((e for e in entries if e.ended_at is not None), key=lambda entry: entry.ended_at or 0.0)
    spent = np.cumsum([entry.wall_ms for entry in over]) / 1_000
    scored = [
        (at, entry.validation.score) for at, entry in zip(spent, over, strict=True) if entry.validation is not None
    ]
    made.add_scatter(
        x=[at for at, _ in scored],
        y=[score for _, score in scored],
        mode="markers",
        name="a program",
        marker={"size": 8, "color": colour("real", 0.45)},
    )
    known = [(at, score) for at, score in found.trace if score is not None]
    made.add_scatter(
        x=[at for at, _ in known],
        y=[score for _, score in known],
        mode="lines",
        name="best so far",
        line={"color": colour("real"), "width": 2.5, "shape": "hv"},
    )
    low, high = np.quantile([score for _, score in scored], [0.25, 1.0] if known[0][1] <= known[-1][1] else [0.0, 0.75])
    room = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    # A single bad program must not flatten all others.
    made.update_yaxes(range=[low - room, high + room])
    return canvas.figure(made, label=f"best {found.metric} by compute")


def _foreseen(entries: Sequence[Entry], canvas: Canvas) -> str:
    told = [entry for entry in entries if entry.outlook is not None and entry.validation is not None]
    if not told:
        return missing("no score was foretold")
    skills = _against(
        canvas,
        told,
        "skill",
        lambda e: (e.outlook.skill, e.outlook.skill_low, e.outlook.skill_high, e.validation.skill),  # type: ignore[union-attr]
    )
    times = _against(
        canvas,
        told,
        "seconds of processor time",
        lambda e: tuple(v / 1_000 for v in (e.outlook.cpu_ms, e.outlook.cpu_low, e.outlook.cpu_high, e.cpu_ms)),  # type: ignore[union-attr]
        logarithmic=True,
    )
    caption = "Each point was foretold before the program ran; the bar is its 90 % interval."
    return f'<div class="panels two">{skills}{times}</div><p class="caption">{caption}</p>'


def _against(
    canvas: Canvas,
    told: Sequence[Entry],
    what: str,
    read: Callable[[Entry], tuple[float, ...]],
    *,
    logarithmic: bool = False,
) -> str:
    """Foretold against real; `read` gives the foretold value, the interval's ends, and what came."""
    said, low, high, came = np.array([read(entry) for entry in told]).T
    inside = (low <= came) & (came <= high)
    made = figure(x=f"foretold {what}", y=f"real {what}", height=380)
    ends = (float(min(said.min(), came.min())), float(max(said.max(), came.max())))
    diagonal(made, *ends)
    for kept, name, role in ((inside, "within its interval", "model"), (~inside, "outside", "reference")):
        if kept.any():
            made.add_scatter(
                x=said[kept],
                y=came[kept],
                mode="markers",
                name=name,
                marker={"size": 8, "color": colour(role)},
                error_x={
                    "type": "data",
                    "array": np.maximum(high - said, 0)[kept],
                    "arrayminus": np.maximum(said - low, 0)[kept],
                    "width": 0,
                    "thickness": 1,
                },
            )
    if logarithmic:
        made.update_xaxes(type="log")
        made.update_yaxes(type="log")
    return canvas.figure(made, label=f"foretold against real {what}")


def _failures(found: Engineered, entries: Sequence[Entry]) -> str:
    counts = ", ".join(f"{count} {word}" for word, count in sorted(found.verdicts.items()))
    bad = [entry for entry in entries if entry.validation is None]
    if not bad:
        return f"<p>{text(counts)}.</p>"
    rows = [
        [
            entry.number + 1,
            entry.verdict or "running",
            "not foretold" if entry.outlook is None else f"{entry.outlook.ok:.0%}",
            entry.error,
        ]
        for entry in bad
    ]
    return f"<p>{text(counts)}.</p>" + table(["", "verdict", "foretold to answer", "error"], rows, numeric=(0,))


def _best(found: Engineered) -> str:
    if found.best is None:
        return missing("no program has given an answer")
    return f"<p>{text(found.best.why)}</p><pre><code>{html.escape(found.best.program)}</code></pre>"


def _listed(entries: Sequence[Entry], campaign: Engineering) -> str:
    if not entries:
        return missing("there was none")
    hidden = campaign.log.hidden
    rows: list[list[Any]] = [
        [
            entry.number + 1,
            entry.verdict or "running",
            "" if entry.design is None else entry.design["model"],
            "" if entry.validation is None else f"{entry.validation.score:.4g}",
            f"{hidden[entry.number].score:.4g}" if entry.number in hidden else "",
            f"{entry.wall_ms / 1_000:.1f}",
            entry.why,
        ]
        for entry in entries
    ]
    return table(["", "verdict", "model", "validation", "hidden", "seconds", "why"], rows, numeric=(0, 3, 4, 5))
