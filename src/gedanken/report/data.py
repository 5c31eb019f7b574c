"""What a report is made of: plain data, every part of it optional. What is missing says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval
from gedanken.evidence.model_card import Claim

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class NotMeasured:
    """Stands where a part of the report is missing; printed as `not measured` and why."""

    why: str


_NOT_GIVEN = NotMeasured("this run did not ask for it")


@dataclass(frozen=True)
class Curve:
    """Something measured along paid steps: x [K], mean [K], low and high [K] (equal to mean, or NaN, where unknown)."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Reference:
    """What the same return costs without a model, from a stored benchmark.

    Attributes:
        method: who was measured, such as `SAC (Stable-Baselines3)`.
        paid: steps until it had the same return; `None` where it did not get there within `within`.
        within: the most steps that were measured.
        source: the file the figure comes from.
        seeds: how many runs it stands on.
        curve: its return along paid steps, drawn beside ours where given.
    """

    method: str
    paid: int | None
    within: int
    source: str
    seeds: int
    curve: Curve | None = None


@dataclass(frozen=True)
class Headline:
    """The result in a few numbers.

    Attributes:
        world: its id.
        seed: of the run.
        paid: resource -> amount spent on learning.
        paid_check: resource -> amount spent on checking the result, counted apart.
        imagined_steps: how many steps were imagined instead of paid for.
        real_return: of the final agent, in the world, over the checking episodes.
        predicted_return: what the model had said of the same agent before the check.
        reference: what the same takes without a model.
        seconds: wall clock of the run.
    """

    world: str
    seed: int
    paid: Mapping[str, int]
    paid_check: Mapping[str, int]
    imagined_steps: int
    real_return: Interval
    predicted_return: Interval
    reference: Reference | NotMeasured = _NOT_GIVEN
    seconds: float | None = None


@dataclass(frozen=True)
class Learning:
    """Return against what was paid.

    Attributes:
        steps: [E] paid steps at the end of each real episode of learning, ascending.
        returns: [E] return of each.
        predicted: what the model said of the agent of its time, along paid steps.
        checked: what the world said of it at the same points, if it was asked.
        goal: the return that counts as solved, if there is one.
        cut: the length at which episodes of learning end, where those of the check go on.
    """

    steps: Floats
    returns: Floats
    predicted: Curve | NotMeasured = _NOT_GIVEN
    checked: Curve | NotMeasured = _NOT_GIVEN
    goal: float | None = None
    cut: int | None = None


@dataclass(frozen=True)
class Trajectories:
    """One real episode and the model's imagined ones from the same start.

    Attributes:
        names: [D] what each column is (a last column may be the reward).
        real: [T, D].
        imagined: [P, T, D], NaN after an imagined episode ended.
        given: what the model was given, such as `the recorded actions` or `the agent`.
        step_seconds: how long a step is in the world, where known; the time axis is then in seconds.
    """

    names: Sequence[str]
    real: Floats
    imagined: Floats
    given: str
    step_seconds: float | None = None


@dataclass(frozen=True)
class Spending:
    """What one account had spent of one resource: seconds since the start of the run [K], and the running sum [K]."""

    account: str
    resource: str
    seconds: Floats
    spent: Floats


@dataclass(frozen=True)
class LedgerView:
    """The ledger as the report shows it.

    Attributes:
        budget: resource -> the most that may be spent.
        balances: one row an account and resource, such as
            `{"account", "resource", "spent", "outstanding", "unknown", "entries"}`.
        spending: the running sums.
        unknown: entries whose outcome is not known: charged, and waiting for an explicit reconcile.
        entries: how many there are.
        head: hash of the last entry, which vouches for all before it.
    """

    budget: Mapping[str, int]
    balances: Sequence[Mapping[str, Any]]
    spending: Sequence[Spending] = ()
    unknown: Sequence[Mapping[str, Any]] = ()
    entries: int = 0
    head: str = ""


@dataclass(frozen=True)
class Decisions:
    """What the gate decided.

    Attributes:
        mode: `off`, `shadow`, `advise`, `gate` or `substitute`.
        counts: verdict -> how often.
        rows: the decisions themselves, all with the same keys, such as `{"step", "verdict", "reason"}`.
    """

    mode: str
    counts: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class ReportData:
    """Everything a report may show. Parts that come from `gedanken.evidence` are what its `to_json` gave.

    Attributes:
        headline: the result.
        learning, trajectories, ledger, decisions: see their classes.
        fidelity: of `HorizonError`.
        calibration: of `CalibrationCheck`.
        value: of `ValueComparison`: returns in the model and in the world, of the final agent.
        exploitation: of `ExploitationGap`.
        claims: what follows from all that, as on the model card.
        depth: of a thorough check: its questions by name (`intermediary.thorough.QUESTIONS`).
        panel: of `PanelEvidence`.
        curation: topic -> what was found, nested as deep as it likes.
        config: the resolved configuration, nested.
        measured: how this was measured: seed, machine, versions, command; shown as given.
    """

    headline: Headline
    learning: Learning | NotMeasured = _NOT_GIVEN
    trajectories: Trajectories | NotMeasured = _NOT_GIVEN
    fidelity: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    calibration: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    value: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    exploitation: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    claims: Sequence[Claim] | NotMeasured = _NOT_GIVEN
    depth: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    panel: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    ledger: LedgerView | NotMeasured = _NOT_GIVEN
    decisions: Decisions | NotMeasured = _NOT_GIVEN
    curation: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    config: Mapping[str, Any] | NotMeasured = _NOT_GIVEN
    measured: Mapping[str, Any] = field(default_factory=dict)
