"""What a panel that was played says of the model: ranking, values and selection, held-out policies, exploitation.

Everything is asked of the real episodes that the panel paid for, none of which the model was trained on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gedanken.evidence.exploitation_curve import Checkpoint, ExploitationCurve, exploitation_by_step
from gedanken.evidence.held_out_policies import HeldOutPolicies, conformal_on_held_out_policies
from gedanken.evidence.judgement import Judgement, judge
from gedanken.evidence.table import REAL
from gedanken.experience.files import write_text
from gedanken.intermediary.panel import IMAGINED, PANEL, Panel
from gedanken.intermediary.run import Run, store_of

NAME = "evidence.json"
_EVIDENCE = 10


@dataclass(frozen=True)
class PanelEvidence:
    """The answers.

    Attributes:
        judgement: who ranks the policies as the world does, what each is worth, which one to deploy.
        held_out_policies: whether conformal intervals hold for policies that they were not calibrated on.
        exploitation: learner -> imagined minus real return by its updates, and where to stop; of its undisturbed
            policies. Learners with fewer than two of them are not there.
    """

    judgement: Judgement
    held_out_policies: HeldOutPolicies
    exploitation: dict[str, ExploitationCurve]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the judgement's fields by name, and the others."""
        return {
            **self.judgement.to_json(),
            "held_out_policies": self.held_out_policies.to_json(),
            "exploitation": {name: curve.to_json() for name, curve in self.exploitation.items()},
        }


def judge_panel(run: Run, panel: Panel, *, spend: int | None = None, confidence: float = 0.95) -> PanelEvidence:
    """Asks every question, and writes panel/evidence.json of the run, with what was paid for the model by then.

    Args:
        run: with the model that the panel was learned in.
        panel: as it was played.
        spend: replay how a selection with so many real episodes would have gone.
        confidence: of every interval.
    """
    seed = run.config.seed
    ids = {member.agent.id for member in panel.members}
    with store_of(run.folder / PANEL / "experience", run.world) as experience:
        played = experience.episodes(account=PANEL, complete=True)
        episodes = [episode for episode in played if episode.header.policy in ids]
    found = PanelEvidence(
        judgement=judge(panel.table, spend=spend, confidence=confidence, seed=seed),
        held_out_policies=conformal_on_held_out_policies(
            run.model, episodes, run.codec, key=run.key(_EVIDENCE, 0), seed=seed, confidence=confidence
        ),
        exploitation=_exploitation(panel, confidence, seed),
    )
    text = {"paid": run.paid(), "confidence": confidence, **found.to_json()}
    write_text(run.folder / PANEL / NAME, json.dumps(text, indent=2))
    return found


def _exploitation(panel: Panel, confidence: float, seed: int) -> dict[str, ExploitationCurve]:
    """One optimisation a learner. Its policies started alike where each has played as often as the others."""
    curves = {}
    undisturbed = [member for member in panel.members if member.agent.share == 0.0]
    for learner in dict.fromkeys(member.learner for member in undisturbed):
        own = [
            (member.updates, panel.table.returns(member.name, REAL), pairs.imagined)
            for member in undisturbed
            if member.learner == learner and len((pairs := panel.table.pairs(member.name, IMAGINED)).imagined)
        ]
        if len(own) < 2:
            continue
        curves[learner] = exploitation_by_step(
            [Checkpoint(step=updates, real=real, imagined=imagined) for updates, real, imagined in own],
            paired=len({len(returns) for _, *both in own for returns in both}) == 1,
            seed=seed,
            confidence=confidence,
        )
    return curves
