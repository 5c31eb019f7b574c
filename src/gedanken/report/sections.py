"""The sections of a report. Each takes the data and the canvas, and gives HTML; what is missing says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gedanken.evidence.interval import Interval
from gedanken.report import figures, judged
from gedanken.report.data import Headline, NotMeasured, Reference, ReportData
from gedanken.report.markup import (
    Canvas,
    amounts,
    duration,
    flat,
    interval_ends,
    interval_mean,
    legend_of,
    missing,
    number,
    pairs,
    table,
    text,
)

_MOST_LISTED = 6
"""A longer list stands as its count."""
_MOST_ROWS = 40


class Section(NamedTuple):
    """One section: its anchor, its title, its short name in the list of contents, and what writes it."""

    anchor: str
    title: str
    short: str
    write: Callable[[ReportData, Canvas], str]


def headline(data: ReportData) -> str:
    """The result in five numbers."""
    top = data.headline
    paid = top.paid.get("steps")
    ratio = f"{top.imagined_steps / paid:,.0f} for each paid step" if paid else "no step was paid for"
    check = f"and {amounts(top.paid_check)} to check the result" if top.paid_check else "the result was not checked"
    tiles = [
        _tile("Paid", amounts(top.paid), check, "real"),
        _tile("Imagined", f"{top.imagined_steps:,} steps", ratio, "model"),
        _tile("Real return", *_returned(top.real_return, "real episode"), "check"),
        _tile("The model had predicted", *_predicted(top), "model"),
        _tile("Without a model", *_without(top.reference), "reference"),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, note: str, role: str) -> str:
    look = "value none" if value == "not measured" else "value"
    return (
        f'<div class="tile" style="--mark:var(--{role})"><h4>{name}</h4>'
        f'<p class="{look}">{value}</p><p class="note">{note}</p></div>'
    )


def _returned(interval: Interval, unit: str) -> tuple[str, str]:
    if interval.mean is None:
        return "not measured", text(interval.reason)
    return interval_mean(interval), f"{interval_ends(interval)}, {counted(interval.count, unit)}"


def _predicted(top: Headline) -> tuple[str, str]:
    value, note = _returned(top.predicted_return, "imagined episode")
    real, said = top.real_return, top.predicted_return.mean
    if said is None or real.low is None or real.high is None:
        return value, note
    place = "below" if said < real.low else "above" if said > real.high else "inside"
    return value, f"{note}; {place} the real interval"


def _without(reference: Reference | NotMeasured) -> tuple[str, str]:
    if isinstance(reference, NotMeasured):
        return "not measured", text(reference.why)
    if reference.paid is None:
        value, needed = f"&gt; {reference.within:,} steps", "did not reach the same return"
    else:
        value, needed = f"{reference.paid:,} steps", "for the same return"
    return value, f"{text(reference.method)}, {needed}, {counted(reference.seeds, 'seed')}"


def _learning(data: ReportData, canvas: Canvas) -> str:
    if isinstance(data.learning, NotMeasured):
        return missing(data.learning)
    made = figures.learning_curve(
        data.learning,
        real_return=data.headline.real_return,
        reference=data.headline.reference,
        paid_steps=data.headline.paid.get("steps"),
    )
    caption = (
        "Every dot is one real episode, placed at the steps paid for by its end. "
        "The diamond is the final agent in episodes kept for checking; bars and bands are 95 % intervals."
    )
    if data.learning.cut is not None:
        caption += f" Episodes of learning end after {data.learning.cut:,} steps, those of the check do not."
    if isinstance(data.headline.reference, Reference):
        caption += f" Without a model: <code>{text(data.headline.reference.source)}</code>."
    return canvas.figure(made, label="Return of real episodes against paid steps", caption=caption)


def _trajectories(data: ReportData, canvas: Canvas) -> str:
    part = data.trajectories
    if isinstance(part, NotMeasured):
        return missing(part)
    panels = figures.trajectory_panels(part)
    if not panels:
        return missing("no observation of this episode ever changed")
    cells = "".join(
        f'<div class="panel"><h4>{text(name)}</h4>'
        + canvas.figure(made, label=f"{name}: real and imagined", legend=False)
        + "</div>"
        for name, made in panels
    )
    left_out = len(part.names) - len(panels)
    more = f" {left_out} more of {len(part.names)} columns are not drawn." if left_out else ""
    caption = f"One real episode, and what the model imagined from its first state, given {text(part.given)}."
    legend = legend_of(panels[0][1])
    return f'{legend}<div class="panels {_columns(len(panels))}">{cells}</div><p class="caption">{caption}{more}</p>'


def _fidelity(data: ReportData, canvas: Canvas) -> str:
    part = data.fidelity
    if isinstance(part, NotMeasured):
        return missing(part)
    if not part["longest"]:
        return missing(part["reason"])
    episodes = max(interval["count"] for interval in part["model"])
    safe, even = part["safe_horizon"], part["break_even_horizon"]
    said = [
        f"Safe up to <b>{safe}</b> steps." if safe else "No measured horizon is safe." if safe == 0 else "",
        f"Breaks even with persistence at <b>{even}</b> steps." if even else f"{text(part['reason']).capitalize()}.",
    ]
    caption = (
        f"Open loop with the recorded actions, from {part['starts'][0]:,} states of "
        f"{counted(episodes, 'held-out episode')}; bands are 95 % intervals over episodes. "
        "Persistence forecasts that nothing changes. "
        f"Safe means that up to there its error, interval included, stays under {part['tolerance']:g} of persistence's."
    )
    lost = [f"{share:.0%} at {h}" for h, share in zip(part["horizons"], part["capped"], strict=True) if share > 0]
    diverged = f" Forecasts that diverged and were cut: {', '.join(lost)} steps." if lost else ""
    made = figures.horizon_error(part)
    drawn = canvas.figure(made, label="Error of the model by steps ahead", caption=caption + diverged)
    return f'<p class="lead">{" ".join(said)}</p>{drawn}'


def _calibration(data: ReportData, canvas: Canvas) -> str:
    part = data.calibration
    if isinstance(part, NotMeasured):
        return missing(part)
    ending = part["termination"]
    no_end = f"no episode ended by itself among {ending['steps']:,} steps"
    unknown = part["uncertainty_rank"]["reason"] or "there are no steps"
    panels = [
        ("Intervals", figures.coverage(part), "no interval was measured"),
        ("Endings", figures.termination_reliability(ending), no_end),
        ("Knowing its errors", figures.knows_its_errors(part), unknown),
    ]
    cells = "".join(
        f'<div class="panel"><h4>{name}</h4>{missing(why) if made is None else canvas.figure(made, label=name)}</div>'
        for name, made, why in panels
    )
    rows = {
        "CRPS (std of the data)": part["crps"],
        "CRPS of persistence": part["crps_persistence"],
        "Skill over persistence": part["crps_skill"],
        "Reward error (RMSE)": part["reward_rmse"],
        "Rank correlation, stated against actual error": part["uncertainty_rank"],
        "Endings: expected calibration error": ending["ece"],
        "Endings: AUC": ending["auc"],
        "Endings: Brier score": ending["brier"],
    }
    shown = table(["One step ahead", "Value", "95 % interval", "Episodes"], _interval_rows(rows), numeric=(1, 2, 3))
    wide = [
        (row["kind"], f"{row['level']:.0%}", *_cells(row["covered"], percent=True), _cells(row["width"])[0])
        for row in part["coverage"]
    ]
    levels = table(["Interval", "Stated", "Realised", "95 % interval", "Width (std)"], wide, numeric=(1, 2, 3, 4))
    caption = (
        f"On {counted(part['episodes'], 'held-out episode')}, {part['steps']:,} steps, one step ahead. "
        f"{counted(ending['terminations'], 'step')} ended an episode."
    )
    details = f"<details><summary>Coverage in numbers</summary>{levels}</details>"
    return f'<div class="panels three wide">{cells}</div><p class="caption">{caption}</p>{shown}{details}'


def _value(data: ReportData, canvas: Canvas) -> str:
    if isinstance(data.value, NotMeasured) and isinstance(data.exploitation, NotMeasured):
        return missing(data.value)
    drawn, rows, percent = [], {}, {}
    if not isinstance(data.value, NotMeasured):
        kept = {name: Interval.from_json(data.value[name]) for name in ("real", "imagined")}
        drawn += [("in the world", "check", kept["real"]), ("in the model", "model", kept["imagined"])]
        how = "paired starts" if data.value["paired"] else "independent starts"
        rows[f"Imagined minus real ({how})"] = data.value["difference"]
        percent["Relative error"] = data.value["relative_error"]
    said = ""
    if not isinstance(data.exploitation, NotMeasured):
        rows["Exploitation gap"] = data.exploitation["gap"]
        percent["Exploitation gap, relative"] = data.exploitation["relative"]
        said = {
            True: "The agent earns more in the model it was optimised in than in the world: the gap excludes 0.",
            False: "No sign that the agent lives off the model's errors: the gap's interval holds 0 or less.",
            None: "Whether the agent lives off the model's errors was not measured: there is no interval.",
        }[data.exploitation["exploited"]]
    made = figures.returns(drawn)
    picture = canvas.figure(made, label="Return in the world and in the model") if made is not None else ""
    listed = _interval_rows(rows) + _interval_rows(percent, percent=True)
    shown = table(["Difference", "Value", "95 % interval", "Episodes"], listed, numeric=(1, 2, 3))
    return f'<p class="lead">{said}</p>{picture}{shown}'


def _ledger(data: ReportData, canvas: Canvas) -> str:
    part = data.ledger
    if isinstance(part, NotMeasured):
        return missing(part)
    resources = list(dict.fromkeys([*part.budget, *(line.resource for line in part.spending)]))
    drawn = [(name, figures.spending(part, name)) for name in resources]
    pictures = "".join(canvas.figure(made, label=f"Spent {name} over time") for name, made in drawn if made is not None)
    names = list(dict.fromkeys(key for row in part.balances for key in row))
    columns = [tuple(row.get(name, 0) for name in names) for row in part.balances]
    wide = range(2, len(names))
    balances = table([name.capitalize() for name in names], columns, numeric=wide) if names else missing("no entries")
    if part.unknown:
        keys = list(dict.fromkeys(key for row in part.unknown for key in row))
        listed = table(keys, [tuple(row.get(key, "") for key in keys) for row in part.unknown[:_MOST_ROWS]])
        count = f"{counted(len(part.unknown), 'entry', 'entries')} whose outcome is not known. Charged, never replayed:"
        unknown = f'<p class="warn">{count} reconcile them by hand.</p>{listed}'
    else:
        unknown = '<p class="caption">No entry is left unknown.'
        unknown += f" {counted(part.entries, 'entry', 'entries')}, hash-chained" if part.entries else ""
        unknown += f"; the last is <code>{text(part.head[:16])}</code>.</p>" if part.head else ".</p>"
    return pictures + balances + unknown


def _decisions(data: ReportData, _: Canvas) -> str:
    part = data.decisions
    if isinstance(part, NotMeasured):
        return missing(part)
    counts = table(["Verdict", "How often"], list(part.counts.items()), numeric=(1,))
    lead = f'<p class="lead">Mode <b>{text(part.mode)}</b>.</p>'
    if not part.rows:
        return f"{lead}{counts}"
    keys = list(part.rows[0])
    listed = table(keys, [tuple(row.get(key) for key in keys) for row in part.rows[:_MOST_ROWS]])
    left = len(part.rows) - _MOST_ROWS
    more = f'<p class="caption">{left:,} more are in the run folder.</p>' if left > 0 else ""
    return f"{lead}{counts}<details><summary>The decisions, with reasons</summary>{listed}{more}</details>"


def _curation(data: ReportData, _: Canvas) -> str:
    if isinstance(data.curation, NotMeasured):
        return missing(data.curation)
    listed: dict[str, Sequence[Mapping[str, Any]]] = {}
    cards: dict[str, dict[str, Any]] = {}
    for name, found in data.curation.items():
        for key, cell in flat(found).items() if isinstance(found, Mapping) else [(name, found)]:
            if isinstance(cell, list | tuple) and cell and isinstance(cell[0], Mapping):
                listed[f"{_words(name)}: {_words(key)}"] = cell
                continue
            card = cards.setdefault(name if isinstance(found, Mapping) else "Data", {})
            many = len(cell) if isinstance(cell, list | tuple) else 0
            card[_words(key)] = counted(many, "entry", "entries") if many > _MOST_LISTED else cell
    boxes = "".join(f"<div><h4>{text(_words(name))}</h4>{pairs(card)}</div>" for name, card in cards.items())
    tables = "".join(
        f"<details><summary>{text(name)}</summary>"
        f"{table([_words(key) for key in rows[0]], [tuple(_cell(row.get(key)) for key in rows[0]) for row in rows])}"
        "</details>"
        for name, rows in listed.items()
    )
    return f'<div class="cards {_columns(len(cards))}">{boxes}</div>{tables}'


def _cell(value: Any) -> Any:
    """A value as a table shows it: lists of numbers in three digits."""
    if isinstance(value, list | tuple):
        return ", ".join(f"{item:.3g}" if isinstance(item, float) else str(item) for item in value)
    return value


def _config(data: ReportData, _: Canvas) -> str:
    if isinstance(data.config, NotMeasured):
        return missing(data.config)
    listed = flat(data.config)
    raw = text(json.dumps(data.config, indent=2, default=str))
    return (
        f"<details><summary>All {len(listed)} settings</summary>{pairs(listed)}</details>"
        f"<details><summary>As JSON</summary><pre>{raw}</pre></details>"
    )


def _measured(data: ReportData, _: Canvas) -> str:
    rows: dict[str, object] = {"Seed": str(data.headline.seed)}
    if data.headline.seconds is not None:
        rows["Wall clock"] = duration(data.headline.seconds)
    return pairs(rows | {_words(name): given for name, given in data.measured.items()})


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 episode`, `10 episodes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _columns(panels: int) -> str:
    """The class of a grid that leaves no lone panel in its last row, on a wide screen."""
    return "two" if panels in (2, 4) else "four" if panels > 6 else "three"


def _interval_rows(rows: Mapping[str, Mapping[str, Any]], *, percent: bool = False) -> list[tuple[str, str, str, str]]:
    return [(name, *_cells(row, percent=percent), number(row["count"])) for name, row in rows.items()]


def _cells(row: Mapping[str, Any], *, percent: bool = False) -> tuple[str, str]:
    """Mean and interval of an `Interval.to_json`, as text; the reason in place of what is missing."""
    if row["mean"] is None:
        return "not measured", row["reason"]
    if percent:
        ends = f"none: {row['reason']}" if row["low"] is None else f"[{row['low']:.1%}, {row['high']:.1%}]"
        return f"{row['mean']:.1%}", ends
    ends = f"none: {row['reason']}" if row["low"] is None else f"[{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['mean']:.3g}", ends


SECTIONS = (
    Section("learning", "Return against paid steps", "Learning", _learning),
    Section("value", "Return in the model and in the world", "Return", _value),
    Section("claims", "What may be claimed of the model", "Claims", judged.claims),
    Section("trajectories", "Real and imagined, over each other", "Trajectories", _trajectories),
    Section("fidelity", "How far ahead the model sees", "Horizon", _fidelity),
    Section("calibration", "Whether the model knows what it does not know", "Calibration", _calibration),
    Section("depth", "Asked in depth", "Depth", judged.depth),
    Section("panel", "A panel of policies", "Panel", judged.panel),
    Section("ledger", "Where the budget went", "Ledger", _ledger),
    Section("decisions", "What the gate decided", "Decisions", _decisions),
    Section("curation", "The data", "Data", _curation),
    Section("configuration", "Configuration", "Configuration", _config),
    Section("measured", "How this was measured", "Method", _measured),
)
