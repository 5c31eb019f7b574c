"""`gedanken run ml-engineering`: programs for a task, until the budget is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

import tyro

from gedanken.cli.options import Answer, Options, parse
from gedanken.cli.settings import BUDGET, claim
from gedanken.cli.watching import watching
from gedanken.errors import ConfigError, GedankenError
from gedanken.intermediary.engineered import Engineered
from gedanken.intermediary.engineering import BEST, Engineering
from gedanken.intermediary.engineers import EngineeringConfig
from gedanken.report.engineering import write_engineering_report


@dataclass(frozen=True, kw_only=True)
class Engineer(Options):
    """Programs until the budget is spent: each one is foretold, run in a sandbox, scored and learned from.

    Example: gedanken run ml-engineering --task diabetes --budget.seconds 300

    Example: gedanken run ml-engineering --task my-task --budget.seconds 600 --workers 2
    """

    out: Path | None = None
    """the campaign's folder, which must be new; by default runs/<task>-seed<seed>-<n>"""
    config: Annotated[EngineeringConfig, tyro.conf.arg(name="")] = field(default_factory=EngineeringConfig)

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        named = {found[1]: 1 for word in words if (found := BUDGET.match(word))}
        default = EngineeringConfig()
        return parse(
            cls,
            words,
            cls(config=replace(default, budget=named) if named else default),
            program="gedanken run ml-engineering",
        )

    def __call__(self) -> Answer:
        folder = claim(self.out, f"{Path(self.config.task).name or 'task'}-seed{self.config.seed}")
        try:
            campaign = Engineering.create(folder, self.config)
        except GedankenError:
            if not any(folder.iterdir()):
                folder.rmdir()
            raise
        return _finish(campaign, self)


def go_on(folder: Path, budget: Mapping[str, int], asked: Options) -> Answer:
    """Goes on with a campaign where it was interrupted.

    Raises:
        ConfigError: another budget was asked for.
    """
    if budget:
        raise ConfigError("The budget of a campaign cannot be raised.", given=dict(budget), do="begin another one.")
    return _finish(Engineering.open(folder), asked)


def _finish(campaign: Engineering, asked: Options) -> Answer:
    with campaign:
        with watching(campaign, asked.progress) as watch:
            found = campaign.run(watch)
        report = write_engineering_report(campaign)
    best = campaign.folder / BEST
    where = str(best / "solution.py") if best.exists() else None
    data = {**found.to_json(), "solution": where, "run": str(campaign.folder), "report": str(report)}
    return Answer(data, lambda: print(_told(found, campaign.folder, report)))


def _told(found: Engineered, folder: Path, report: Path) -> str:
    count = sum(found.verdicts.values())
    lines = [f"{count} programs for {found.task}, {found.paid['milliseconds'] / 1_000:.0f} s of compute."]
    if found.best is not None and found.best.validation is not None:
        lines.append(f"Best {found.metric} on the validation rows: {found.best.validation.score:.4g}.")
        if found.hidden is not None and found.hidden.low is not None and found.hidden.high is not None:
            lines.append(
                f"On rows that nobody planned by: {found.hidden.score:.4g} [{found.hidden.low:.4g}, "
                f"{found.hidden.high:.4g}] (95 %)."
            )
        lines.append(f"It runs by itself: cd {folder / BEST} && python solution.py")
    else:
        lines.append("None of them has given an answer that can be graded.")
    hits, forecasts = found.foresaw.skill
    if forecasts:
        lines.append(f"Of the 90 % intervals of scores, {hits} of {forecasts} held what came.")
    return "\n".join([*lines, f"Report: {report}"])
