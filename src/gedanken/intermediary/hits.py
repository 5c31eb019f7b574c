"""How often a warning came true: decisions held against what really happened afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

ANY = "any"
"""A judged decision with a breach of any kind. That the model does not know is not one: it forecasts nothing."""


class Entry(NamedTuple):
    """One decision as the log holds it: `Decision.to_json()`, and `Settlement.to_json()` where there is one."""

    number: int
    decision: dict[str, Any]
    settlement: dict[str, Any] | None


@dataclass
class Hits:
    """Warnings of one kind, counted. A warning is true if its limit was broken within the rehearsal's horizon."""

    true: int = 0
    """warned, and it was broken"""
    false: int = 0
    """warned, and it was not"""
    missed: int = 0
    """not warned, and it was broken"""
    quiet: int = 0
    """not warned, and it was not"""

    def count(self, *, warned: bool, came: bool) -> None:
        """Takes one judged decision in."""
        name = ("true" if came else "false") if warned else ("missed" if came else "quiet")
        setattr(self, name, getattr(self, name) + 1)

    @property
    def precision(self) -> float | None:
        """The share of warnings that came true; None without a warning."""
        return self.true / warnings if (warnings := self.true + self.false) else None

    @property
    def recall(self) -> float | None:
        """The share of broken limits that were warned of; None where none was broken."""
        return self.true / broken if (broken := self.true + self.missed) else None


@dataclass
class Predictions:
    """One-step predictions held against what came.

    Attributes:
        count: how many. squares: [D] the sum of their squared errors.
        inside: sum over those with a finite 90 % interval of the share of dimensions within; intervals: how many.
    """

    count: int = 0
    squares: Any = 0.0
    inside: float = 0.0
    intervals: int = 0

    @property
    def rmse(self) -> list[float] | None:
        """[D] root-mean-square error, in the observation's units; None without a prediction."""
        root: list[float] = np.sqrt(np.asarray(self.squares) / self.count).tolist() if self.count else []
        return root or None

    @property
    def coverage(self) -> float | None:
        """Share of the next observations' dimensions within their 90 % interval; None without a finite one."""
        return self.inside / self.intervals if self.intervals else None


@dataclass
class Summary:
    """What a log of decisions says.

    Attributes:
        decisions: how many. modes, by: how many in each mode, and by whose action was applied.
        breaches: kind -> decisions whose proposed action had such a breach.
        hits: kind (and `any`) -> its warnings, judged.
        not_judged: why -> how many rehearsed decisions could not be judged, or not in every kind.
        known, unknown: the predictions that the model was sure enough of, and the others.
        milliseconds: mean and largest time of a decision that asked the model.
    """

    decisions: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    by: Counter[str] = field(default_factory=Counter)
    breaches: Counter[str] = field(default_factory=Counter)
    hits: dict[str, Hits] = field(default_factory=dict)
    not_judged: Counter[str] = field(default_factory=Counter)
    known: Predictions = field(default_factory=Predictions)
    unknown: Predictions = field(default_factory=Predictions)
    milliseconds: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; None where nothing was measured."""
        return {
            "decisions": self.decisions,
            "modes": dict(self.modes),
            "by": dict(self.by),
            "breaches": dict(self.breaches),
            "hits": {
                kind: {**vars(hits), "precision": hits.precision, "recall": hits.recall}
                for kind, hits in self.hits.items()
            },
            "not_judged": dict(self.not_judged),
            "predictions": {
                name: {"count": part.count, "rmse": part.rmse, "coverage_90": part.coverage}
                for name, part in (("known", self.known), ("unknown", self.unknown))
            },
            "milliseconds": None
            if self.milliseconds is None
            else {"mean": self.milliseconds[0], "largest": self.milliseconds[1]},
        }

    def __str__(self) -> str:
        lines = [f"{self.decisions} decisions ({_listed(self.modes)}); applied by {_listed(self.by)}"]
        if self.breaches:
            lines.append(f"objections to the proposed action: {_listed(self.breaches)}")
        for kind, hits in self.hits.items():
            lines.append(
                f"warnings ({kind}): {hits.true + hits.false} in {sum(vars(hits).values())} judged decisions, "
                f"precision {_share(hits.precision)}, recall {_share(hits.recall)}"
            )
        if self.not_judged:
            lines.append(f"not judged: {_listed(self.not_judged)}")
        for name, part in (("known", self.known), ("unknown", self.unknown)):
            if part.count:
                lines.append(f"predictions ({name}): {part.count}, {_share(part.coverage)} within their 90 % intervals")
        if self.milliseconds is not None:
            lines.append(f"{self.milliseconds[0]:.1f} ms a decision, {self.milliseconds[1]:.1f} ms at most")
        return "\n".join(lines)


def summarise(episodes: Iterable[list[Entry]]) -> Summary:
    """Counts decisions, judges warnings and measures predictions, one episode at a time.

    A decision is judged by the steps that followed, over the horizon of its rehearsal, as long as the agent did what
    it proposed; what would have come of an action that was not taken nobody knows.

    Args:
        episodes: the entries of each episode, in the order of its steps.
    """
    summary = Summary()
    total = largest = 0.0
    asked = 0
    for episode in episodes:
        for index, (_, decision, settlement) in enumerate(episode):
            summary.decisions += 1
            summary.modes[decision["mode"]] += 1
            summary.by[decision["by"]] += 1
            warned = {breach["kind"] for breach in decision["breaches"]}
            summary.breaches.update(warned)
            if not decision["rehearsals"]:
                continue
            asked, total = asked + 1, total + decision["milliseconds"]
            largest = max(largest, decision["milliseconds"])
            _measure(summary, decision, settlement)
            came, why_not = _what_came(episode, index)
            if why_not:
                summary.not_judged[why_not] += 1
            for kind, broken in came.items():
                summary.hits.setdefault(kind, Hits()).count(warned=kind in warned, came=broken)
            if came:
                some = bool(warned & came.keys())
                summary.hits.setdefault(ANY, Hits()).count(warned=some, came=any(came.values()))
    if asked:
        summary.milliseconds = (total / asked, largest)
    return summary


def _measure(summary: Summary, decision: dict[str, Any], settlement: dict[str, Any] | None) -> None:
    if settlement is None or settlement["error"] is None or None in settlement["error"]:
        return
    part = summary.known if decision["rehearsals"][decision["index"]]["known"] else summary.unknown
    part.count += 1
    part.squares = part.squares + np.square(settlement["error"])
    if settlement["inside"] is not None:
        part.inside, part.intervals = part.inside + settlement["inside"], part.intervals + 1


def _what_came(episode: list[Entry], index: int) -> tuple[dict[str, bool], str]:
    """Kind -> whether its limit was broken within the horizon, of the kinds that can be told; and why not of others."""
    decision = episode[index].decision
    limits, horizon = decision["limits"], decision["horizon"]
    steps, whole, why = [], False, "the record ends before the horizon does"
    for step, settlement in _followed(episode, index):
        if step["by"] != "agent":
            why = "another action was taken"
            break
        if settlement is None:
            break
        steps.append(settlement)
        whole = settlement["terminated"] or len(steps) == horizon
        if whole or settlement["truncated"]:
            break
    came: dict[str, bool] = {}
    if limits["observation_low"] or limits["observation_high"]:
        _tell(came, "observation", any(step["broken"] for step in steps), whole)
    if limits["most_termination"] is not None:
        _tell(came, "termination", any(step["terminated"] for step in steps), whole)
    if limits["most_cost"] and all(step["cost"] is not None for step in steps):
        over = any(
            sum(step["cost"].get(resource, 0) for step in steps) > amount
            for resource, amount in limits["most_cost"].items()
        )
        _tell(came, "cost", over, whole)
    if limits["least_return"] is not None and whole and all(step["reward"] is not None for step in steps):
        total = sum(decision["discount"] ** ahead * step["reward"] for ahead, step in enumerate(steps))
        came["return"] = total < limits["least_return"]
    return came, "" if whole else why


def _followed(episode: list[Entry], index: int) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The decision at `index` and those of the steps after it, up to a gap."""
    first = episode[index].decision["step"]
    for ahead, (_, decision, settlement) in enumerate(episode[index:]):
        if ahead and (first is None or decision["step"] != first + ahead):
            return
        yield decision, settlement


def _tell(came: dict[str, bool], kind: str, broken: bool, whole: bool) -> None:
    # A limit that broke is broken, however short the record; one that did not may break in what is missing.
    if broken or whole:
        came[kind] = broken


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _share(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.2f}"
