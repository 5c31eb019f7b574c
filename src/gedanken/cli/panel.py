"""`gedanken panel`: many policies, played for real and in the model, and what that says of the model."""

from __future__ import annotations

from dataclasses import dataclass, field

from gedanken.cli.judging import show_judgement
from gedanken.cli.options import Answer
from gedanken.cli.stages import OnRun
from gedanken.cli.watching import watching
from gedanken.intermediary.panel import PANEL, PanelConfig, play_panel
from gedanken.intermediary.panel_evidence import PanelEvidence, judge_panel


@dataclass(frozen=True, kw_only=True)
class Panel(OnRun):
    """Plays a panel of policies of every quality, for real and in the model, and judges the model by them.

    The policies are learned in the run's model. Their real episodes are paid for in a ledger of their own, in the run's
    folder; those on record are not paid for again. The returns lie in panel/returns.csv, the answers in
    panel/evidence.json.

    Example: gedanken panel runs/mine --panel.episodes 10 --spend 20
    """

    panel: PanelConfig = field(default_factory=PanelConfig)
    spend: int | None = None
    """replay how choosing a policy with so many real episodes would have gone"""
    confidence: float = 0.95
    """of every interval"""

    def __call__(self) -> Answer:
        with self.opened() as run:
            with watching(run, self.progress, resume=PANEL) as watch:
                played = play_panel(run, self.panel, watch=watch)
            found = judge_panel(run, played, spend=self.spend, confidence=self.confidence)
        table = self.run / PANEL / "returns.csv"
        data = {
            "run": str(self.run),
            "table": str(table),
            "paid_panel": played.paid,
            "missing": played.missing,
            "unfit": played.unfit,
            "confidence": self.confidence,
            **found.to_json(),
        }

        def show() -> None:
            show_judgement(found.judgement, self.confidence)
            _show(found)
            paid = ", ".join(f"{amount:,} {name}" for name, amount in played.paid.items())
            print(f"\nPaid for the panel: {paid}. Returns: {table}")
            if played.missing:
                print(f"{played.missing} real episodes could not be paid for: earlier ones were interrupted.")
            if played.unfit:
                print(f"In {played.unfit} imagined episodes the model answered what is not finite; they are left out.")

        return Answer(data, show)


def _show(found: PanelEvidence) -> None:
    """What is asked of a panel besides its returns."""
    print("\nHeld-out policies: do intervals hold for a policy they were not calibrated on?")
    for level in found.held_out_policies.levels:
        said = "abstains" if level.abstains else "fails" if level.fails else "holds"
        print(f"  {level.level:.0%}, calibrated by {level.unit}: {said}; covered {level.covered}")
    for advice in found.held_out_policies.advice:
        print(f"  {advice}")
    for learner, curve in found.exploitation.items():
        print(f"\nExploitation: how far does optimising by {learner} drive the model from the world?")
        for step, gap in zip(curve.steps, curve.gap, strict=True):
            print(f"  after {step:,} updates: imagined minus real {gap}")
        stop = "nowhere" if curve.stop is None else f"at {curve.stop:,}"
        print(f"  Stop {stop}; deploy the policy of {curve.deploy:,}.")
