"""A report's data as a run would give it: the evidence is measured on the linear system, the rest is made up."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gedanken.evidence import (
    Checkpoint,
    Estimates,
    Interval,
    ReturnTable,
    check_calibration,
    conformal_on_held_out_policies,
    effects_of_pairs,
    endings_by_horizon,
    error_by_horizon,
    exploitation_by_step,
    exploitation_gap,
    imagined_against_real,
    judge,
    mean_with_interval,
    permuted_actions,
    reward_by_horizon,
    score_forecasts,
)
from gedanken.evidence.model_card import Claim
from gedanken.evidence.table import Row
from gedanken.experience.transition import Episode
from gedanken.intermediary.panel_evidence import PanelEvidence
from gedanken.models.contract import State
from gedanken.report.data import (
    Curve,
    Decisions,
    Headline,
    Learning,
    LedgerView,
    NotMeasured,
    Reference,
    ReportData,
    Spending,
    Trajectories,
)
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel


@functools.cache
def full_report(world: str = "InvertedPendulum-v5", seed: int = 0) -> ReportData:
    """Every section filled."""
    rng = np.random.default_rng(seed)
    system, model = _systems()
    env = AnalyticEnv(system, horizon=120)
    episodes = record(env, 24, seed=seed)
    key = jax.random.key(seed)
    lengths = np.minimum(10 + 990 * rng.beta(1 + np.arange(40) / 4, 3), 1000)
    lengths[-6:] = 1000
    steps = np.cumsum(lengths)
    steps *= 1_480 / steps[-1]
    real = rng.normal(960, 40, 10).clip(max=1000)
    imagined = rng.normal(981, 22, 1000).clip(max=1000)
    at = np.linspace(250, 1_480, 6)
    predicted = np.array([180, 420, 700, 905, 962, 981.0])
    half = np.array([150, 140, 120, 60, 25, 6.0])
    checks = np.arange(0, 1_000, 100)
    return ReportData(
        headline=Headline(
            world=world,
            seed=seed,
            paid={"steps": 1_480},
            paid_check={"steps": 9_871},
            imagined_steps=412_000,
            real_return=mean_with_interval(real, seed=seed),
            predicted_return=mean_with_interval(imagined, seed=seed),
            reference=Reference(
                method="SAC (Stable-Baselines3)",
                paid=7_500,
                within=50_000,
                source="benchmarks/results/robotics.csv",
                seeds=3,
                curve=Curve(
                    np.linspace(0, 8_000, 17),
                    1000 / (1 + np.exp(-(np.linspace(0, 8_000, 17) - 5_000) / 900)),
                    1000 / (1 + np.exp(-(np.linspace(0, 8_000, 17) - 5_600) / 900)),
                    1000 / (1 + np.exp(-(np.linspace(0, 8_000, 17) - 4_400) / 900)),
                ),
            ),
            seconds=127.4,
        ),
        learning=Learning(
            steps=steps,
            returns=lengths,
            predicted=Curve(at, predicted, predicted - half, np.minimum(predicted + half, 1000)),
            goal=950.0,
            cut=200,
        ),
        trajectories=_trajectories(env, model),
        fidelity=error_by_horizon(model, episodes, env.codec, key=key, seed=seed).to_json(),
        calibration=check_calibration(model, episodes, env.codec, key=key, seed=seed).to_json(),
        value=imagined_against_real(real=real, imagined=imagined, paired=False, seed=seed).to_json(),
        exploitation=exploitation_gap(real=real, imagined=imagined, paired=False, seed=seed).to_json(),
        claims=_claims(),
        depth=_depth(model, episodes, env),
        panel=_panel(model, episodes, env),
        ledger=LedgerView(
            budget={"steps": 12_000},
            balances=[
                {
                    "account": "learn",
                    "resource": "steps",
                    "spent": 1_480,
                    "outstanding": 0,
                    "unknown": 0,
                    "entries": 40,
                },
                {
                    "account": "check",
                    "resource": "steps",
                    "spent": 9_871,
                    "outstanding": 0,
                    "unknown": 0,
                    "entries": 10,
                },
            ],
            spending=[
                Spending("learn", "steps", np.linspace(2, 110, 40), steps),
                Spending("check", "steps", 112 + checks / 100, (checks + 100) * 9.871),
            ],
            entries=50,
            head="9f2c4e17a1d0b3585f0c1d2e3a4b5c6d7e8f90112233445566778899aabbccdd",
        ),
        decisions=Decisions(
            mode="shadow",
            counts={"allowed": 1_432, "refused: predicted angle out of limits": 31, "refused: does not know": 17},
            rows=[
                {"step": int(step), "verdict": "refused", "reason": f"confidence {0.3 + 0.01 * i:.2f} is under 0.5"}
                for i, step in enumerate(range(10, 500, 28))
            ],
        ),
        curation={
            "coverage": {"episodes": 40, "steps": 1_480, "occupied cells": 0.62},
            "duplicates": {"episodes": 0, "steps": 3},
            "outcome_balance": {"success": 6, "failure": 34, "not known": 0},
            "leakage": {"held-out episodes": 8, "shared with training": 0},
        },
        config={
            "world": {"id": world, "prices": {"steps": 1}},
            "budget": {"steps": 1_500},
            "model": {"members": 7, "width": 200, "depth": 4, "holdout": 0.2, "layer_norm": True},
            "agent": {"kind": "sac", "gamma": 0.99, "layers": [256, 256]},
            "seed": seed,
        },
        measured={
            "command": f"gedanken run robotics --world {world} --budget.steps 1500 --seed {seed}",
            "machine": "2 cores, 8 GB, Linux; JAX 0.10.2 on CPU",
            "version": "gedanken 0.1.0",
        },
    )


def _claims() -> list[Claim]:
    return [
        Claim("It sees ahead", "measured with interval", "safe horizon 20 steps", "To imagine far"),
        Claim("It knows the reward of a step", "refuted", "error 1.2 [1.1, 1.3]", "To compare by imagined reward"),
        Claim("It knows the end", "not measured", "no ending among 90 steps", "To judge what is safe"),
    ]


def _depth(model: AnalyticModel, episodes: list[Episode], env: AnalyticEnv) -> dict[str, Any]:
    """A thorough check's answers, all but `estimates` measured."""
    key, settings = jax.random.key(2), {"seed": 0}
    none = Interval.missing("the target policy is deterministic and its actions are continuous")
    real = Interval(mean=212.0, low=190.0, high=231.0, count=10, reason="")
    said = dataclasses.replace(real, mean=230.0, low=226.0, high=234.0, count=100)
    found = Estimates(
        {"real only": real, "prediction-powered": real, "model alone": said, "doubly robust": none},
        horizon=120,
        discount=1.0,
        real_episodes=10,
        logged_episodes=40,
        effective_episodes=None,
        powered=None,
    )
    return {
        "forecasts": score_forecasts(model, episodes, env.codec, key=key, horizons=(1, 5, 20), **settings).to_json(),
        "rewards": reward_by_horizon(model, episodes, env.codec, key=key, horizons=(1, 5, 20), **settings).to_json(),
        "endings": endings_by_horizon(model, episodes, env.codec, key=key, horizons=(1, 5, 20), **settings).to_json(),
        "permuted": permuted_actions(model, episodes, env.codec, key=key, horizons=(1, 5, 20), **settings).to_json(),
        "actions": effects_of_pairs(model, episodes, env.codec, key=key, **settings).to_json(),
        "estimates": found.to_json(),
    }


def _panel(model: AnalyticModel, episodes: list[Episode], env: AnalyticEnv) -> dict[str, Any]:
    """Twelve policies whose returns are made up, and intervals that were measured on three."""
    draws, rows = np.random.default_rng(3), []
    for policy in range(12):
        value = 40.0 * policy + 20.0 * draws.normal()
        for episode in range(5):
            luck = 15.0 * draws.normal()
            rows.append(Row(f"sac {policy}", "real", 0, episode, value + luck + 5.0 * draws.normal()))
            rows.append(Row(f"sac {policy}", "imagined", 0, episode, 30.0 + 0.9 * value + luck))
    table = ReturnTable.of(rows)
    dealt = [
        dataclasses.replace(each, header=dataclasses.replace(each.header, policy=f"policy {number % 3}"))
        for number, each in enumerate(episodes)
    ]
    held_out = conformal_on_held_out_policies(model, dealt, env.codec, key=jax.random.key(4), seed=0)
    checkpoints = [
        Checkpoint(step=250 * 2**at, real=draws.normal(world, 9.0, 10), imagined=draws.normal(dreamt, 3.0, 10))
        for at, (world, dreamt) in enumerate([(50, 60), (160, 170), (230, 250), (150, 330)])
    ]
    curve = exploitation_by_step(checkpoints, paired=False, seed=0)
    return PanelEvidence(judge(table, seed=0), held_out, {"value_gradient": curve}).to_json()


def bare_report() -> ReportData:
    """Nothing but a headline, and even that not measured."""
    none = Interval.missing("the budget ended before the check")
    return ReportData(
        Headline("Pendulum-v1", 3, {}, {}, 0, none, none, NotMeasured("no benchmark file holds this world"))
    )


def without_check(data: ReportData) -> ReportData:
    """The same run with one checking episode only."""
    alone = mean_with_interval([940.0], seed=0)
    return dataclasses.replace(data, headline=dataclasses.replace(data.headline, real_return=alone))


class _Learned(AnalyticModel):
    """Like a fitted model: a little wrong in its dynamics and reward, unsure when exactly an episode ends."""

    def members(self, state, action):
        said = super().members(state, action)
        wrong = 0.5 * self.epistemic(state.observation)[None, :, None] * jnp.sin(9.0 * state.observation)[None]
        return said._replace(mean=said.mean + wrong)

    def conclude(self, state, action, next_observation, key):
        imagined = super().conclude(state, action, next_observation, key)
        probability = jax.nn.sigmoid(14.0 * (jnp.abs(next_observation[:, 0]) - self.limit))
        return imagined._replace(
            termination_probability=probability, reward=imagined.reward + 0.05 * jnp.tanh(next_observation[:, 1])
        )

    def interval(self, state, action, level):
        said = self.members(state, action)
        mean, std = said.mean.mean(0), jnp.sqrt(jnp.square(said.std).mean(0) + said.mean.var(0))
        half = std * jnp.sqrt(2.0) * jax.scipy.special.erfinv(level) * 1.15
        return mean - half, mean + half


def _systems() -> tuple[AnalyticModel, AnalyticModel]:
    """Two coupled, damped oscillators that are pushed at random, and what was learned of them."""
    turn = np.array([[0.985, -0.12], [0.12, 0.985]])
    transition = np.block([[turn, 0.04 * np.eye(2)], [np.zeros((2, 2)), 0.99 * turn.T]])
    control = [[0.0, 0.08, 0.0, 0.05]]
    settings = {"noise": 0.03, "start_std": 0.25, "limit": 0.6, "alive": 1.0}
    real = AnalyticModel.create(transition, control, **settings)
    near = AnalyticModel.create(transition * 0.99, control, **settings, spread=0.02, growth=2.0)
    learned = _Learned(**{name: getattr(near, name) for name in AnalyticModel.__dataclass_fields__})
    return real, learned


def _trajectories(env: AnalyticEnv, model: AnalyticModel) -> Trajectories:
    episode = max(record(env, 6, seed=9), key=len)
    actions = env.codec.encode_actions(episode.actions)
    count, key = 40, jax.random.key(1)
    state = State(jnp.tile(jnp.asarray(episode.observations[0]), (count, 1)))
    imagined = [np.asarray(state.observation)]
    for step, action in enumerate(actions[:100]):
        state = model.sample(state, jnp.tile(action, (count, 1)), jax.random.fold_in(key, step)).state
        imagined.append(np.asarray(state.observation))
    paths = np.stack(imagined, axis=1)
    return Trajectories(
        names=["cart position (m)", "pole angle (rad)", "cart velocity (m/s)", "angular velocity (rad/s)"],
        real=episode.observations[: paths.shape[1]],
        imagined=paths,
        given="the recorded actions",
        step_seconds=0.04,
    )
