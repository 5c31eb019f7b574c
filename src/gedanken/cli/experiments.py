"""`gedanken run science`: a campaign of experiments, on a world or on anybody's table."""

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
from gedanken.intermediary.campaign import DESCRIPTION, Campaign, CampaignConfig
from gedanken.intermediary.found import Found
from gedanken.report.experiments import write_campaign_report
from gedanken.report.markup import amounts


@dataclass(frozen=True, kw_only=True)
class Experiment(Options):
    """Experiments until the budget is spent: each one is suggested with a forecast, paid for and learned from.

    Example: gedanken run science --world suzuki --budget.experiments 40

    Example: gedanken run science --table my.csv --objective yield --goal max
    """

    out: Path | None = None
    """the campaign's folder, which must be new; by default runs/<world>-seed<seed>-<n>"""
    config: Annotated[CampaignConfig, tyro.conf.arg(name="")] = field(default_factory=CampaignConfig)

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        named = {found[1]: 0 for word in words if (found := BUDGET.match(word))}
        default = CampaignConfig()
        return parse(
            cls,
            words,
            cls(config=replace(default, budget=named) if named else default),
            program="gedanken run science",
        )

    def __call__(self) -> Answer:
        folder = claim(self.out, f"{Path(self.config.table).stem or self.config.world}-seed{self.config.seed}")
        try:
            campaign = Campaign.create(folder, self.config)
        except GedankenError:
            if not any(folder.iterdir()):
                folder.rmdir()
            raise
        return _finish(campaign, self)


def is_campaign(folder: Path) -> bool:
    """Whether a folder holds a campaign, and not a run."""
    return (folder / DESCRIPTION).exists()


def go_on(folder: Path, budget: Mapping[str, int], asked: Options) -> Answer:
    """Goes on with a campaign where it was interrupted.

    Raises:
        ConfigError: another budget was asked for.
    """
    if budget:
        raise ConfigError("The budget of a campaign cannot be raised.", given=dict(budget), do="begin another one.")
    return _finish(Campaign.open(folder), asked)


def _finish(campaign: Campaign, asked: Options) -> Answer:
    with campaign:
        with watching(campaign, asked.progress) as watch:
            found = campaign.run(watch)
        report = write_campaign_report(campaign)
    data = {**found.to_json(), "run": str(campaign.folder), "report": str(report)}
    return Answer(data, lambda: print(_told(found, report)))


def _told(found: Found, report: Path) -> str:
    objective = found.objective
    lines = [f"Experiments in {found.world}, paid for with {amounts(found.paid)}."]
    if found.best is not None:
        unit = f" {objective.unit}" if objective.unit else ""
        lines.append(f"Best {objective.name}: {found.trace[-1]:.4g}{unit}, with")
        for name, value in found.best.items():
            lines.append(f"  {name}: {value:.6g}" if isinstance(value, float) else f"  {name}: {value}")
    if found.forecasts:
        lines.append(f"Of its 90 % intervals, {found.inside} of {found.forecasts} held what came.")
    return "\n".join([*lines, f"Report: {report}"])
