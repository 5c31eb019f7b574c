"""`gedanken evaluate --table`: what a table of returns says, for people who bring only numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gedanken.cli.options import Answer, Options, parse
from gedanken.evidence.interval import Interval
from gedanken.evidence.judgement import Judgement, judge
from gedanken.evidence.ranking import Ranking, Resample, Score
from gedanken.evidence.replays import Replay
from gedanken.evidence.selection import Selection
from gedanken.evidence.table import read_returns

WIDTH = 100
LISTED = 5


@dataclass(frozen=True, kw_only=True)
class EvaluateTable(Options):
    """Judges a table of returns: who ranks the policies as the world does, what each is worth, which one to deploy.

    The columns are policy, source, seed, episode and return; source is real, imagined, or any other estimator's name.

    Example: gedanken evaluate --table returns.csv --spend 20
    """

    table: Path
    """a CSV file"""
    spend: int | None = None
    """replay how choosing a policy with so many real episodes would have gone"""
    replays: int = 200
    """how often that is replayed"""
    resample: Resample = "policies"
    """what the intervals of a ranking draw anew; with episodes, the noise of the returns is in them too"""
    bounds: tuple[float, float] | None = None
    """what a real return cannot leave, such as `0 1` for success; then values from both sides assume nothing else"""
    confidence: float = 0.95
    """of every interval"""
    seed: int = 0
    """of all that is drawn"""

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        return parse(cls, words, program="gedanken evaluate")

    def __call__(self) -> Answer:
        table = read_returns(self.table)
        found = judge(
            table,
            spend=self.spend,
            replays=self.replays,
            resample=self.resample,
            bounds=self.bounds,
            confidence=self.confidence,
            seed=self.seed,
        )
        data = {"table": str(self.table), "confidence": self.confidence, "seed": self.seed, **found.to_json()}
        return Answer(data, lambda: show_judgement(found, self.confidence))


def show_judgement(found: Judgement, confidence: float) -> None:
    """Prints what a table of returns says."""
    page = _Page()
    counts = ", ".join(f"{count:,} {source}" for source, count in found.episodes.items())
    page.say(f"{len(found.policies)} policies; episodes: {counts}. Intervals hold {confidence:.0%}.")
    for source, ranking in found.rankings.items():
        page.say(f"\nRanking: does {source!r} order {len(ranking.policies)} policies as the world does?")
        _ranking(page, ranking)
        left_out = found.unranked[source]
        more = f" Left out, without returns of both sides: {', '.join(left_out)}." if left_out else ""
        page.say(f"Intervals draw {ranking.resampled.replace('+', ' and ')} anew.{more}")
    page.say("\nValue: what is each policy worth?")
    if not found.estimators:
        page.table(("policy", "real"), ((policy, page.cell(value)) for policy, value in found.real.items()))
    for source in found.estimators:
        _values(page, found, source)
    for source, selection in found.selections.items():
        page.say(f"\nSelection: which policy to deploy, by the real returns and {source!r}?")
        _selection(page, selection, source)
        if source in found.replays:
            _replay(page, found.replays[source])


class _Page:
    """The console. Reasons why a figure is missing stand below their table, each once."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.width = min(self._console.width, WIDTH) if self._console.is_terminal else WIDTH
        self._reasons: dict[str, int] = {}

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def cell(self, value: Interval, digits: int | None = None, *, count: bool = True) -> str:
        """A figure with its interval and count; `digits` behind the point where it has no unit."""
        of = f", n={value.count}" if count else ""
        if value.mean is None:
            return f"not measured {self._mark(value.reason)}"
        if value.low is None or value.high is None:
            return f"{value.mean:.4g}{of} {self._mark(value.reason)}"
        if digits is None:
            return f"{str(value).removesuffix(f', n={value.count}')}{of}"
        return f"{value.mean:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]{of}"

    def table(self, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
        made = Table(header_style="bold", pad_edge=False)
        for head in heads:
            made.add_column(Text(head), overflow="fold")
        for row in rows:
            # Text, not str: what a policy is called must not be read as markup.
            made.add_row(*(Text(cell) for cell in row))
        self._console.print(made)
        for reason, number in self._reasons.items():
            self.say(f"({number}) {reason}")
        self._reasons = {}

    def _mark(self, reason: str) -> str:
        return f"({self._reasons.setdefault(reason, len(self._reasons) + 1)})"


def _ranking(page: _Page, ranking: Ranking) -> None:
    rows = []
    for score in ranking.scores:
        digits = None if score.name.startswith("mmrv") else 2
        rows.append((score.name.replace("_", " "), page.cell(score.value, digits), *_left_out(score)))
    more = {
        "reliability": ranking.reliability,
        "pearson, no noise": ranking.pearson_without_noise,
        "spearman, no noise": ranking.spearman_without_noise,
    }
    rows += [(name, page.cell(value, 2), "", "") for name, value in more.items()]
    page.table(("score", "value", "with one left out", "who matters most"), rows)


def _left_out(score: Score) -> tuple[str, str]:
    left = score.left_out
    if left is None:
        return "", ""
    return f"{left.low:.3g} to {left.high:.3g}", "" if left.policy is None else f"{left.policy} ({left.without:.3g})"


def _values(page: _Page, found: Judgement, source: str) -> None:
    of = {value.policy: value for value in found.values if value.source == source}
    rows = [
        (
            policy,
            page.cell(real),
            page.cell(of[policy].comparison.imagined),
            page.cell(of[policy].comparison.difference),
            page.cell(of[policy].powered, count=False),
        )
        for policy, real in found.real.items()
        if policy in of
    ]
    page.table(("policy", "real", source, f"{source} - real", "real, from both"), rows)
    paired = sum(value.comparison.paired for value in of.values())
    page.say(f"Compared start by start for {paired} of {len(of)} policies, and as independent samples for the others.")


def _selection(page: _Page, selection: Selection, source: str) -> None:
    best = next(each for each in selection.candidates if each.policy == selection.chosen)
    page.say(
        f"Deploy {selection.chosen}: the best with probability {best.probability_best:.2f}; "
        f"regret to expect {selection.regret}."
    )
    page.say(f"One more real episode is best spent on {selection.next}: {selection.next_reason}.")
    rows = [
        (
            each.policy,
            "" if each.imagined is None else f"{each.imagined:.4g}",
            page.cell(each.real),
            page.cell(each.believed, count=False),
            f"{each.probability_best:.2f}",
        )
        for each in selection.candidates[:LISTED]
    ]
    left = len(selection.candidates) - LISTED
    rows += [(f"and {left} more", "", "", "", "")] if left > 0 else []
    page.table(("policy", source, "real", "believed", "P(best)"), rows)


def _replay(page: _Page, replay: Replay) -> None:
    rows = [
        (
            each.method,
            page.cell(each.regret, count=False),
            page.cell(each.share, 2, count=False),
            page.cell(each.found_best, 2, count=False),
            "" if each.unlucky is None else f"{each.unlucky:.4g}",
        )
        for each in replay.methods
    ]
    page.say(f"{replay.replays} replays with {replay.episodes} real episodes each:")
    page.table(("method", "regret", "of best - worst", "found the best", "1 in 20 above"), rows)
