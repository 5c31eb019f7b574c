"""What may be claimed of this model, and what must it not be used for? One page of Markdown from a run's evidence.

Every claim has a level, and every restriction names the figure it follows from. Nothing on the card is general advice:
what was not measured is said to be so, and restricts the use as much as what failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gedanken.errors import FileError
from gedanken.evidence.interval import Interval
from gedanken.experience.files import write_text

Level = Literal["measured with interval", "measured without interval", "undecided", "refuted", "not measured"]
"""By the first two, the figure speaks for the claim. `undecided`: its interval holds both the claim and its denial."""

NAME = "model_card.md"
_LEVEL = 0.9
"""Of the intervals whose coverage the card states."""


@dataclass(frozen=True)
class Claim:
    """One claim: what it says, how well it stands, the figure, and what must not be done unless it stands."""

    text: str
    level: Level
    figure: str
    forbids: str = ""

    @property
    def stands(self) -> bool:
        """Whether something measured speaks for it."""
        return self.level in ("measured with interval", "measured without interval")


def write_model_card(folder: Path) -> Path:
    """Writes `model_card.md` of the run in `folder` beside its evidence.json, and returns its path.

    Raises:
        FileError: there is no evidence yet, or a file of the run is damaged.
    """
    evidence = _read(folder / "evidence.json")
    if not evidence:
        raise FileError(
            "There is no evidence to make a card of.", given=folder, do=f"first `gedanken evaluate {folder}`."
        )
    text = model_card(
        evidence,
        run=_read(folder / "config.json"),
        model=_read(folder / "model" / "manifest.json"),
        curation=_read(folder / "curation.json"),
        anchors=_read(folder / "anchors.json"),
    )
    path = folder / NAME
    write_text(path, text)
    return path


def model_card(
    evidence: Mapping[str, Any],
    *,
    run: Mapping[str, Any],
    model: Mapping[str, Any],
    curation: Mapping[str, Any],
    anchors: Mapping[str, Any],
) -> str:
    """The card.

    Args:
        evidence: evidence.json of the run. The others may be empty where a run has no such file.
        run: config.json. model: manifest.json of the saved model. curation: curation.json. anchors: anchors.json.
    """
    made = claims(evidence)
    settings = run.get("config", {})
    name = model.get("meta", {}).get("id", "no model was saved")
    horizon = _section(evidence, "fidelity")
    rows = "".join(f"| {claim.text} | {claim.level} | {claim.figure} |\n" for claim in made)
    parts = [
        f"# Model card: {settings.get('world', 'world not known')}",
        f"Model `{name}`, family {settings.get('family', 'not known')}, of run `{run.get('id', 'not known')}`, "
        f"seed {settings.get('seed', 'not known')}.",
        f"## Claims\n\n| claim | level | figure |\n| --- | --- | --- |\n{rows}".rstrip(),
        "## How far it can see\n\n" + _bullets(_horizons(horizon)),
        "## What it was learned from\n\n" + _bullets([*_data(curation), *_anchors(anchors)]),
        "## What it must not be used for\n\n" + _bullets([*forbidden(made), *_outside(curation)]),
    ]
    return "\n\n".join(parts) + "\n"


# --- Claims ---------------------------------------------------------------------------------------------------------


def claims(evidence: Mapping[str, Any]) -> list[Claim]:
    """Everything that the card claims or denies, from evidence.json."""
    value, exploitation = _section(evidence, "value"), _section(evidence, "exploitation")
    fidelity, calibration = _section(evidence, "fidelity"), _section(evidence, "calibration")
    real = _interval(evidence, "real_return")
    return [
        Claim("The agent's real return is known", _known(real), str(real), "To deploy the agent unseen"),
        _return_is_foretold(_interval(value, "difference")),
        _not_exploited(exploitation),
        _sees_ahead(fidelity),
        _compared(
            "Its forecast beats that of a standing world",
            _interval(calibration, "crps_skill"),
            above=0.0,
            forbids="To forecast a single step",
        ),
        _covers(calibration),
        _compared(
            "Where it says that it knows less, it errs more",
            _interval(calibration, "uncertainty_rank"),
            above=0.0,
            forbids="To take its uncertainty for a warning",
        ),
        _knows_rewards(calibration),
        _knows_endings(_section(calibration, "termination")),
    ]


def forbidden(made: Sequence[Claim]) -> list[str]:
    """What the model must not be used for, and the figure that this follows from."""
    return [f"{claim.forbids} ({_because(claim)})" for claim in made if claim.forbids and not claim.stands]


def _return_is_foretold(difference: Interval) -> Claim:
    text = "The return it promises for the agent is the real one"
    level = _known(difference)
    if difference.low is not None and difference.high is not None and not difference.low <= 0.0 <= difference.high:
        level = "refuted"
    return Claim(text, level, f"promised minus real {difference}", "To state a return without real episodes")


def _not_exploited(exploitation: Mapping[str, Any]) -> Claim:
    gap, exploited = _interval(exploitation, "gap"), exploitation.get("exploited")
    level: Level = "refuted" if exploited else "not measured" if exploited is None else "measured with interval"
    forbids = "To rank or choose policies by their return in it after they were optimised in it"
    return Claim("The agent does not live off its mistakes", level, f"gap {gap}", forbids)


def _sees_ahead(fidelity: Mapping[str, Any]) -> Claim:
    safe = fidelity.get("safe_horizon")
    text = "It sees ahead, with an error well below that of a standing world"
    if safe is None:
        why = fidelity.get("reason") or "no held-out episode was compared"
        return Claim(text, "not measured", f"not measured ({why})", "To imagine more than is checked step by step")
    if safe == 0:
        return Claim(text, "refuted", "safe horizon 0 steps", "To imagine even a single step ahead without a check")
    return Claim(text, "measured with interval", f"safe horizon {_steps(safe)}")


def _covers(calibration: Mapping[str, Any]) -> Claim:
    """Of the kinds of intervals that were judged, the one that the model states itself comes first."""
    text = f"Its {_LEVEL:.0%} intervals hold the next observation that often"
    forbids = "To rest a decision on its intervals, such as a limit that must hold"
    found = [each for each in calibration.get("coverage", []) if abs(each["level"] - _LEVEL) < 1e-9]
    found.sort(key=lambda each: each["kind"] != "conformal")
    if not found:
        return Claim(text, "not measured", "not measured", forbids)
    covered = _interval(found[0], "covered")
    level = _known(covered)
    if covered.low is not None and covered.high is not None and covered.low < _LEVEL:
        level = "refuted" if covered.high < _LEVEL else "undecided"
    return Claim(text, level, f"{found[0]['kind']}: {covered}", forbids)


def _knows_rewards(calibration: Mapping[str, Any]) -> Claim:
    error, spread = _interval(calibration, "reward_rmse"), calibration.get("reward_std")
    text = "It knows the reward of a step better than the mean reward does"
    forbids = "To compare actions or policies by imagined reward"
    if spread is None or error.mean is None:
        return Claim(text, "not measured", str(error), forbids)
    level = _known(error)
    if error.low is not None and error.high is not None and error.high >= spread:
        level = "refuted" if error.low >= spread else "undecided"
    elif error.mean is not None and error.mean >= spread:
        level = "refuted"
    return Claim(text, level, f"error {error}, of the mean reward {spread:.4g}", forbids)


def _knows_endings(termination: Mapping[str, Any]) -> Claim:
    text = "It tells steps that end an episode from those that do not"
    forbids = "To judge by imagined endings whether an action is safe"
    seen, judged = termination.get("terminations"), termination.get("steps")
    if not seen:
        figure = f"no ending among {judged:,} judged steps" if judged else "not measured"
        return Claim(text, "not measured", figure, forbids)
    auc = _interval(termination, "auc")
    return _compared(text, auc, above=0.5, forbids=forbids, name="AUC ")


def _compared(text: str, figure: Interval, *, above: float, forbids: str, name: str = "") -> Claim:
    """The claim that a figure is above a number."""
    level = _known(figure)
    if figure.low is not None and figure.high is not None and figure.low <= above:
        level = "refuted" if figure.high <= above else "undecided"
    elif figure.low is None and figure.mean is not None and figure.mean <= above:
        level = "refuted"
    return Claim(text, level, f"{name}{figure}", forbids)


def _known(figure: Interval) -> Level:
    if figure.mean is None:
        return "not measured"
    return "measured without interval" if figure.low is None else "measured with interval"


def _because(claim: Claim) -> str:
    """The figure that a restriction follows from."""
    if claim.level == "not measured":
        return claim.figure if claim.figure.startswith(("not measured", "no ")) else f"not measured: {claim.figure}"
    return f"{claim.level}: {claim.figure}"


# --- The other sections ---------------------------------------------------------------------------------------------


def _horizons(fidelity: Mapping[str, Any]) -> list[str]:
    safe, even, longest = (fidelity.get(name) for name in ("safe_horizon", "break_even_horizon", "longest"))
    if safe is None:
        return [f"Safe horizon: not measured{_why(fidelity)}.", "Break-even horizon: not measured."]
    tolerance = f"its error stays below {fidelity['tolerance']:.0%} of a standing world's"
    beyond = f"none up to {_steps(longest or 0)}, the farthest that was looked at" if even is None else _steps(even)
    return [f"Safe horizon: {_steps(safe)}; so far {tolerance}.", f"Break-even horizon: {beyond}."]


def _data(curation: Mapping[str, Any]) -> list[str]:
    if not curation:
        return ["Not known: the data were not curated."]
    split, outcomes, leakage = (curation.get(name) or {} for name in ("split", "outcomes", "leakage"))
    found = [f"{curation['steps']:,} real steps in {curation['episodes']:,} episodes."]
    if split:
        found.append(f"Held out: {split['held_out_steps']:,} steps in {len(split['held_out']):,} episodes.")
    if outcomes:
        found.append(
            f"Outcomes: {outcomes['success']:,} success, {outcomes['failure']:,} failure, "
            f"{outcomes['unknown']:,} unknown."
        )
    for policy, share in (curation.get("policies") or {}).items():
        found.append(f"Behaviour `{policy}`: {share['steps']:,} steps in {share['episodes']:,} episodes.")
    if leakage.get("exact"):
        found.append(f"Leakage: {leakage['exact']:,} held-out steps were also trained on.")
    return found


def _anchors(anchors: Mapping[str, Any]) -> list[str]:
    return [f"Rewards recalibrated ({anchors['chosen']}): {anchors['reason']}."] if anchors else []


def _outside(curation: Mapping[str, Any], most: int = 8) -> list[str]:
    """Where no data were: outside the range of each dimension."""
    dimensions: Sequence[Mapping[str, Any]] = (curation.get("coverage") or {}).get("dimensions") or []
    ranges = [
        f"{each['name']} in [{each['low']:.4g}, {each['high']:.4g}]"
        for each in dimensions
        if each.get("low") is not None and each.get("high") is not None
    ]
    if not ranges:
        return ["Anything outside of its data, whose ranges were not measured."]
    more = f", and {len(ranges) - most} more dimensions in curation.json" if len(ranges) > most else ""
    return [f"Anything outside of what was seen: {', '.join(ranges[:most])}{more}."]


def _section(evidence: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return evidence.get(name) or {}


def _interval(part: Mapping[str, Any], name: str) -> Interval:
    return Interval.from_json(part[name]) if part.get(name) else Interval.missing("the check did not come to it")


def _why(fidelity: Mapping[str, Any]) -> str:
    return f" ({fidelity['reason']})" if fidelity.get("reason") else ""


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of the run; empty where it is not there."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FileError("A file of the run is damaged.", given=f"{path}: {error}", do="write it again.") from error
    if not isinstance(found, dict):
        raise FileError("A file of the run is damaged.", given=path, expected="a JSON object", do="write it again.")
    return found
