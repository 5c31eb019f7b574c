"""Who plays in a run: built in, brought by a package, or given as an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken import plugins
from gedanken.agents.icem import ICEM, Planner
from gedanken.agents.learner import Learner, Progress
from gedanken.agents.sac import SAC
from gedanken.agents.value_gradient import ValueGradient
from gedanken.errors import ConfigError
from gedanken.intermediary import stages
from gedanken.intermediary.config import RunConfig
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.parts import AGENTS, FAMILIES, Given, family_of, learner_of
from gedanken.intermediary.run import Run
from gedanken.models.contract import FitReport
from gedanken.models.data import TransitionTable
from gedanken.models.fitting import EnsembleFamily
from gedanken.models.tasks import Tasks
from tests.fakes import AnalyticModel
from tests.intermediary.small import CHECKED, between, linear, push, result_of, small

# --- A family and a learner of somebody's own -----------------------------------------------------------------------


class Fitted(AnalyticModel):
    """A linear model with room for tasks."""

    tasks: Tasks


@dataclass(frozen=True)
class LeastSquares:
    """A model family in a few lines: linear dynamics by ridge regression; its reward is known."""

    ridge: float = 1e-3

    def create(self, observation_size: int, action_size: int, resources: tuple[str, ...], *, key: jax.Array) -> Fitted:
        blank = AnalyticModel.create(np.eye(observation_size), np.zeros((action_size, observation_size)), noise=0.01)
        values = {name: getattr(blank, name) for name in AnalyticModel.__dataclass_fields__}
        return Fitted(**values, tasks=Tasks.unknown(observation_size))

    def fit(
        self,
        model: Fitted,
        table: TransitionTable,
        *,
        key: jax.Array,
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[Fitted, FitReport]:
        rows = table.filled()
        inputs = np.concatenate([rows.observation, rows.action], axis=1)
        square = inputs.T @ inputs + self.ridge * np.eye(inputs.shape[1])
        weights = jnp.asarray(np.linalg.solve(square, inputs.T @ rows.next_observation), jnp.float32)
        size = model.observation_size
        model = eqx.tree_at(lambda m: (m.transition, m.control), model, (weights[:size], weights[size:]))
        return model, FitReport(table.size, 0, None, 0, False, 0.0)


@dataclass(frozen=True)
class Still:
    """A learner that learns nothing and plans."""

    horizon: int = 3
    name: ClassVar[str] = "still"

    def init(self, observation_size: int, action_size: int, *, discrete: bool, key: jax.Array) -> Any:
        return jnp.zeros(())

    def learn(self, state: Any, model: Any, table: TransitionTable, **options: Any) -> tuple[Any, Progress]:
        return state + options["updates"], Progress({"learned": float(state)}, 0)

    def agent(self, state: Any, model: Any, codec: Any) -> Planner:
        return Planner(model, codec, replace(small().icem, horizon=self.horizon))

    def model_free(self) -> None:
        return


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings both."""
    real = plugins.entry_points
    ours = {
        FAMILIES: EntryPoint("least_squares", f"{__name__}:LeastSquares", FAMILIES),
        AGENTS: EntryPoint("still", f"{__name__}:Still", AGENTS),
    }
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: [*real(group=group), ours[group]])


# --- By name --------------------------------------------------------------------------------------------------------


def test_the_built_in_ones_get_their_sections() -> None:
    config = small()
    assert family_of(config) == EnsembleFamily(config.model, config.fit)
    for name, made in (
        ("value_gradient", ValueGradient(config.value_gradient)),
        ("sac", SAC(config.sac)),
        ("icem", ICEM(config.icem)),
    ):
        learner = learner_of(replace(config, agent=name))
        assert learner == made and learner.name == name and isinstance(learner, Learner)


@pytest.mark.usefixtures("brought")
def test_those_of_a_package_get_their_settings() -> None:
    config = RunConfig(
        agent="still", family="least_squares", settings={"still": {"horizon": 5}, "least_squares": {"ridge": 1.0}}
    )
    assert learner_of(config) == Still(5) and family_of(config) == LeastSquares(1.0)
    assert learner_of(RunConfig(agent="still")) == Still()
    with pytest.raises(ConfigError, match=r"`settings\.still\.horizn` is not a setting"):
        learner_of(RunConfig(agent="still", settings={"still": {"horizn": 5}}))
    with pytest.raises(ConfigError, match=r"`settings\.least_squares\.ridge` has the wrong type"):
        family_of(RunConfig(family="least_squares", settings={"least_squares": {"ridge": "much"}}))


def test_what_nobody_brings_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no model family 'ensembel'") as caught:
        Run.create(tmp_path / "run", small(family="ensembel"), world=linear())
    assert caught.value.expected == "ensemble" and not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_where_nothing_may_be_imagined_only_who_needs_no_model_learns(mode: Any) -> None:
    learner = learner_of(small(mode=mode, agent="sac"))
    assert isinstance(learner, SAC) and learner.config.imagined_share == 0.0
    for agent in ("value_gradient", "icem"):
        with pytest.raises(ConfigError, match="learns from imagined steps alone"):
            learner_of(small(mode=mode, agent=agent))


@pytest.mark.usefixtures("brought")
def test_a_run_with_a_packages_family_and_learner_can_be_opened_again(tmp_path: Path) -> None:
    with between(tmp_path, agent="still", family="least_squares", **CHECKED) as run:
        result = run.run()
        assert isinstance(result.agent, Planner) and result.imagined_steps == 0
        truth = linear().env.unwrapped.system
    with Run.open(tmp_path, world=linear()) as again:
        assert isinstance(again.model, Fitted) and float(again.learned) == 3 * round(0.25 * 20)
        np.testing.assert_allclose(again.model.transition, truth.transition, atol=0.05)
        np.testing.assert_allclose(again.model.control, truth.control, atol=0.05)


def test_where_there_is_nothing_to_learn_the_model_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(_: Run) -> None:
        raise AssertionError("a truncation rule was measured for nobody")

    monkeypatch.setattr(stages, "truncation", asked)
    with between(tmp_path / "planner", agent="icem", budget={"steps": 20}) as run:
        run.round()
    with between(tmp_path / "given", acting=push, budget={"steps": 20}) as run:
        run.round()
    with (
        between(tmp_path / "learner", budget={"steps": 20}) as run,
        pytest.raises(AssertionError, match="truncation rule"),
    ):
        run.round()


# --- As an object ---------------------------------------------------------------------------------------------------


def test_what_is_given_does_what_the_named_one_does(tmp_path: Path) -> None:
    config = small()
    with Intermediary(linear(), config=config, folder=tmp_path / "named") as run:
        run.run()
    learner, family = learner_of(config), family_of(config)
    with Intermediary(linear(), config=config, agent=learner, family=family, folder=tmp_path / "given") as run:
        run.run()
    assert result_of(tmp_path / "named") == result_of(tmp_path / "given")


def test_a_run_goes_on_only_with_what_it_was_begun_with(tmp_path: Path) -> None:
    with between(tmp_path, acting=push, budget={"steps": 20}) as run:
        run.round()
    assert json.loads((tmp_path / "config.json").read_text())["given"] == ["agent"]
    with pytest.raises(ConfigError, match="the objects that it was begun with") as caught:
        Run.open(tmp_path, world=linear())
    assert caught.value.expected == "agent="
    with pytest.raises(ConfigError, match="the objects that it was begun with"):
        Intermediary(linear(), family=EnsembleFamily(), agent=push, folder=tmp_path)
    with Intermediary(linear(), agent=push, folder=tmp_path) as again:
        assert again.agent.act(np.zeros(2, np.float32)) == push(np.zeros(2, np.float32))


def test_an_agent_that_acts_as_it_is_needs_no_learner(tmp_path: Path) -> None:
    with between(tmp_path, acting=push, mode="off", budget={"steps": 20}) as run:
        assert run.run().imagined_steps == 0


def test_nothing_given_names_nothing() -> None:
    assert Given().names() == [] and Given(learner=SAC()).names() == ["learner"]
