"""The anchors of a run, bought round by round: choose, pay, ask, recalibrate; every decision with its reasons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import BudgetRefused, ConfigError
from gedanken.evidence.drift import check_drift
from gedanken.experience.cost import Cost
from gedanken.intermediary.anchors import AnchorsConfig, Floats, draw, inclusion, next_share, novelty
from gedanken.models.anchored import AnchoredModel, features_of, imagined_rewards
from gedanken.models.contract import LearnedModel
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.recalibration import Anchors, Recalibration, fit_recalibration
from gedanken.worlds.ledger import Ledger, Reservation

Ask = Callable[[NDArray[np.int64]], ArrayLike]
"""Rows of the table -> their real rewards, as many; NaN where the world does not say."""


@dataclass(frozen=True)
class AnchorDecision:
    """What was decided about the steps of a round, and why.

    Attributes:
        candidates: new steps. chosen: how many of them were asked for. known: of how many the world said the reward.
        paid: their price. share: of the steps, that was aimed at. next_share: for the next round.
        agreement: explained share of the variance of these anchors before they were learned from; None: not known.
        drifted: None where it is not known.
        recalibration: which corrections were chosen, from all anchors so far, with held-out errors.
        reasons: in words, with the numbers.
    """

    candidates: int
    chosen: int
    known: int
    paid: dict[str, int]
    share: float
    next_share: float
    agreement: float | None
    drifted: bool | None
    recalibration: dict[str, Any]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return {**asdict(self), "reasons": list(self.reasons)}


class Anchoring:
    """The anchors of a run: bought round by round from what is new in its table, paid through the ledger.

    Attributes:
        decisions: of all rounds so far. share: of the next round. recalibration: the latest; None before the first.
    """

    def __init__(
        self,
        config: AnchorsConfig,
        *,
        ask: Ask,
        ledger: Ledger,
        account: str,
        resource: str = "rewards",
        price: int = 1,
        seed: int,
    ) -> None:
        """Begins without anchors.

        Args:
            config: how many and which.
            ask: brings real rewards; called once a round, after the ledger has reserved their price.
            ledger, account, resource: who pays in what.
            price: of one reward, in whole minor units.
            seed: of every choice.
        """
        self.config, self.share = config, config.start
        self.decisions: list[AnchorDecision] = []
        self.recalibration: Recalibration | None = None
        self._ask, self._ledger, self._account, self._resource, self._price = ask, ledger, account, resource, price
        self._seed, self._seen = seed, 0
        self._row, self._real, self._importance = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
        self._errors: list[float] = []

    def buy(self, model: LearnedModel, table: TransitionTable, *, key: jax.Array) -> AnchorDecision:
        """Chooses among the steps that are new in the table, pays, asks, and learns the recalibration anew.

        Args:
            model: the model as it stands, without anchors; refitted since the last round or not.
            table: the run's.
            key: for what the model draws.

        Raises:
            BudgetRefused: nothing is left for the first anchors. Later, a round without money goes without new ones.
        """
        rows = table.filled()
        new = np.arange(self._seen, table.size)
        chance = inclusion(
            self._doubt(model, rows, new, key),
            np.full(len(new), self._price),
            amount=self.share * len(new) * self._price,
            even=self.config.even,
        )
        picked = draw(chance, np.random.default_rng([self._seed, self._seen]))
        reasons = []
        try:
            real, paid = self._pay(new[picked])
        except BudgetRefused as refused:
            if not len(self._row):
                raise
            real, paid, picked = np.zeros(0), {}, picked[:0]
            reasons.append(f"no anchors could be paid: {refused.what}")
        first, self._seen = len(self._row), table.size
        self._row = np.concatenate([self._row, new[picked]])
        self._real = np.concatenate([self._real, real])
        self._importance = np.concatenate([self._importance, 1.0 / chance[picked]])
        anchors = self._anchors(model, rows, key)
        agreement, drifted, told = self._judge(anchors, first)
        share, after = self.share, next_share(self.share, agreement=agreement, drifted=drifted, config=self.config)
        self.recalibration = fit_recalibration(anchors, config=self.config.recalibration, seed=self._seed)
        self.share = after.share
        decision = AnchorDecision(
            candidates=len(new),
            chosen=len(picked),
            known=int(np.isfinite(real).sum()),
            paid=paid,
            share=share,
            next_share=after.share,
            agreement=agreement,
            drifted=drifted,
            recalibration=self.recalibration.to_json(),
            reasons=(*reasons, told, after.reason, self.recalibration.reason),
        )
        self.decisions.append(decision)
        return decision

    def anchored(self, model: LearnedModel) -> AnchoredModel:
        """The model with its rewards recalibrated by all anchors so far."""
        bare = AnchoredModel.of(model, self.config.recalibration)
        return bare if self.recalibration is None else AnchoredModel(model, self.recalibration, bare.config)

    def labelled(self, model: LearnedModel, table: TransitionTable, *, key: jax.Array) -> TransitionTable:
        """A copy of the table for an agent to learn from: real rewards where paid for, recalibrated ones elsewhere."""
        rows = table.filled()
        said = imagined_rewards(model, rows.observation, rows.action, rows.next_observation, key=key).mean
        reward = table.columns.reward.copy()
        reward[: table.size] = self._corrected(said, features_of(rows.next_observation, rows.action))
        known = np.isfinite(self._real)
        reward[self._row[known]] = self._real[known]
        copy = TransitionTable(table.capacity, table.observation_size, table.action_size, table.resources, table.size)
        copy.columns = table.columns._replace(reward=reward)
        return copy

    def _doubt(self, model: LearnedModel, rows: Columns, new: NDArray[np.int64], key: jax.Array) -> Floats:
        """[N] what is not known of each new reward: where draws differ, and where no anchor has told yet."""
        if self.recalibration is None or not len(new):
            return np.full(len(new), np.nan)
        part = Columns(*(column[new] for column in rows))
        spread = imagined_rewards(model, part.observation, part.action, part.next_observation, key=key).spread
        there = features_of(rows.next_observation, rows.action).astype(np.float64)
        latest = self._row[-self.config.recalibration.centres :]
        error = self.recalibration.error
        if error is None:
            return spread
        doubt: Floats = np.sqrt(np.square(spread) + np.square(error * novelty(there[new], there[latest])))
        return doubt

    def _pay(self, rows: NDArray[np.int64]) -> tuple[Floats, dict[str, int]]:
        """Reserve, ask, commit. Asked for again, the same rows cost nothing: the ledger has kept the answer."""
        if not len(rows):
            return np.zeros(0), {}
        digest = hashlib.sha256(rows.tobytes()).hexdigest()
        cost = Cost({self._resource: self._price * len(rows)})
        action = f"{self._account}-anchors-{rows[0]}-{rows[-1]}-{digest[:12]}"
        leave = self._ledger.reserve(action, digest, cost, account=self._account)
        if not isinstance(leave, Reservation):
            kept = [np.nan if each is None else each for each in leave.outcome]
            return np.asarray(kept, np.float64), dict(leave.actual)
        real = np.asarray(self._ask(rows), np.float64)
        if real.shape != rows.shape:
            raise ConfigError("As many rewards must come as were asked for.", given=real.shape, expected=rows.shape)
        told = [float(each) if np.isfinite(each) else None for each in real]
        self._ledger.commit(action, cost, told)
        return np.where(np.isfinite(real), real, np.nan), dict(cost)

    def _anchors(self, model: LearnedModel, rows: Columns, key: jax.Array) -> Anchors:
        """All anchors so far, as the model stands now."""
        part = Columns(*(column[self._row] for column in rows))
        said = imagined_rewards(model, part.observation, part.action, part.next_observation, key=key)
        features = features_of(part.next_observation, part.action).astype(np.float64)
        same = np.ones(len(self._row))
        return Anchors(said.mean, self._real, features, part.episode.astype(np.int64), same, self._importance)

    def _judge(self, anchors: Anchors, first: int) -> tuple[float | None, bool | None, str]:
        """How the recalibration so far does on anchors it has not seen, and whether its error has changed."""
        if self.recalibration is None:
            return None, None, "these are the first anchors"
        new = anchors.pick(np.arange(first, len(anchors.real))).known()
        if len(new.real) < 2:
            return None, None, f"{len(new.real)} new anchors are too few to judge the model by"
        error = new.real - self._corrected(new.imagined, new.features)
        weight = new.weights()
        variance = float((weight * np.square(new.real - np.average(new.real, weights=weight))).mean())
        agreement = 1.0 - float((weight * np.square(error)).mean()) / variance if variance > 0.0 else None
        for episode in np.unique(new.episode):
            mine = new.episode == episode
            self._errors.append(float(np.average(error[mine], weights=weight[mine])))
        found = check_drift(self._errors, shift=self.config.shift, false_alarms_every=self.config.false_alarms_every)
        if found.drifted is None:
            return agreement, None, f"drift is not known: {found.reason}"
        if found.drifted:
            self._errors = []  # what comes now is measured against what is new
            return agreement, True, f"drift: errors are {found.how}, {found.statistic:.2g} over {found.threshold:.2g}"
        return agreement, False, f"no drift: {found.statistic:.2g} of {found.threshold:.2g}"

    def _corrected(self, imagined: Floats, features: Floats) -> Floats:
        if self.recalibration is None:
            return imagined
        return self.recalibration.on_host(imagined, np.asarray(features, np.float64))
