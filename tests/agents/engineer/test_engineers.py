import numpy as np
import pytest

from gedanken.agents.engineer import Engineer, Evolution, Foreseeing, Proposal, RandomSearch, Tried
from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering.attempt import check
from gedanken.worlds.ml_engineering.moves import place
from gedanken.worlds.ml_engineering.pipelines import SPACE, canonical, drawn, sensible
from tests.models.attempts.synthetic import features, heads, outcome

TASK = features(rows=6.0, level=-0.6)
AGENTS: list[Engineer] = [RandomSearch(), Evolution(), Foreseeing(heads(), TASK, changes=24, draws=16)]
LIMITS = {"left_ms": 60_000.0, "limit_ms": 30_000.0}


def ran(proposal: Proposal) -> Tried:
    assert proposal.design is not None
    verdict, skill, work = outcome(proposal.design, TASK)
    return Tried(proposal.program, proposal.design, verdict, skill, round(1_500 + work), 1_500)


def campaign(agent: Engineer, count: int, *, seed: int = 0) -> list[Tried]:
    tried: list[Tried] = []
    for number in range(count):
        proposal = agent.propose("regression", tried, **LIMITS, seed=1_000 * seed + number)
        assert proposal is not None
        tried.append(ran(proposal))
    return tried


@pytest.fixture(params=AGENTS, ids=lambda agent: agent.name)
def agent(request: pytest.FixtureRequest) -> Engineer:
    return request.param


def test_it_is_an_engineer(agent: Engineer) -> None:
    assert isinstance(agent, Engineer)


def test_its_programs_compile_and_are_those_of_its_seed(agent: Engineer) -> None:
    tried = campaign(agent, 4)
    for kind in ("regression", "binary", "multiclass"):
        one, again = (agent.propose(kind, [], **LIMITS, seed=7) for _ in range(2))  # type: ignore[arg-type]
        assert one is not None and one == again and check(one.program) == "" and one.why
        assert one.design == canonical(SPACE.checked(one.design or {}), kind)  # type: ignore[arg-type]
    assert tried == campaign(agent, 4)


def test_with_nothing_left_nothing_is_begun(agent: Engineer) -> None:
    assert agent.propose("regression", [], left_ms=0.0, limit_ms=30_000.0, seed=0) is None


@pytest.mark.parametrize("agent", AGENTS[1:], ids=lambda agent: agent.name)
def test_nothing_is_tried_twice(agent: Engineer) -> None:
    tried = campaign(agent, 12)
    assert len({place(one.design) for one in tried if one.design is not None}) == 12


def test_what_is_sensible_comes_first_where_nothing_is_known() -> None:
    tried = campaign(Evolution(), 8)
    assert [one.design for one in tried] == sensible("regression")


def test_foresight_finds_better_programs_in_less_time_than_chance() -> None:
    def best(agent: Engineer, seed: int) -> tuple[float, float]:
        tried = campaign(agent, 6, seed=seed)
        return max(one.skill or 0.0 for one in tried), sum(one.cpu_ms for one in tried) / 1_000

    foreseen, drawn_ = (np.array([best(agent, seed) for seed in range(5)]) for agent in (AGENTS[2], AGENTS[0]))
    assert foreseen[:, 0].mean() > drawn_[:, 0].mean()
    assert foreseen[:, 1].mean() < drawn_[:, 1].mean()


def test_it_says_what_it_expects() -> None:
    proposal = AGENTS[2].propose("regression", campaign(AGENTS[2], 3), **LIMITS, seed=0)
    assert proposal is not None and proposal.outlook is not None and proposal.chance is not None
    outlook = proposal.outlook
    assert 0 < outlook.ok < 1 and outlook.skill_low <= outlook.skill <= outlook.skill_high
    assert outlook.cpu_low <= outlook.cpu_ms <= outlook.cpu_high and outlook.cpu_ms > 1_500
    assert "%" in proposal.why and "s expected" in proposal.why


def test_programs_that_are_foretold_to_fail_are_left() -> None:
    tried = campaign(AGENTS[2], 10)
    assert all(one.verdict == "ok" for one in tried)
    assert any(outcome(design, TASK)[0] != "ok" for design in drawn("regression", 10, seed=0))


def test_what_runs_is_not_proposed_again_and_widens_the_search() -> None:
    agent = AGENTS[2]
    running: list[Tried] = []
    for _ in range(4):
        proposal = agent.propose("regression", running, **LIMITS, seed=0)
        assert proposal is not None
        running.append(Tried(proposal.program, proposal.design))
    assert len({place(one.design) for one in running if one.design is not None}) == 4


def test_what_would_not_end_in_time_is_not_begun() -> None:
    slow = features(rows=14.0)  # everything takes minutes
    agent = Foreseeing(heads(), slow, changes=8, draws=8)
    tried = [Tried("", sensible("regression")[0], "ok", 0.4, 120_000, 1_500)]
    assert agent.propose("regression", tried, left_ms=2_000.0, limit_ms=600_000.0, seed=0) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Evolution(parents=0),
        lambda: Evolution(crossing=1.5),
        lambda: Foreseeing(heads(), TASK, thrift=-1.0),
        lambda: Foreseeing(heads(), TASK, draws=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]
