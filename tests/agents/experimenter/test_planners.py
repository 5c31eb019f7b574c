import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from gedanken.agents.experimenter import Bayesian, Earlier, Planner, Random, Suggestion
from gedanken.agents.experimenter.acquisition import hypervolume_improvement, improvement, log_improvement
from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.models.gaussian_process import GaussianProcessConfig, PriorConfig, fit_gaussian_process
from gedanken.worlds.design import DesignSpace, Linear
from gedanken.worlds.parameters import Categorical, Continuous, Design
from gedanken.worlds.science.fidelity import Fidelities
from gedanken.worlds.science.trials import Objective, Trial, TrialState

SPACE = DesignSpace((Continuous("a", 0, 10), Continuous("b", 0, 1), Categorical("c", ("x", "y"))))
YIELD = (Objective("yield"),)
POOL = SPACE.draw(200, seed=7)
PLANNERS: list[Planner] = [Random(), Bayesian(), Bayesian(acquisition="thompson")]


def truth(design: Design) -> float:
    a, b = float(design["a"]), float(design["b"])
    return 10 * math.exp(-((a - 7) ** 2) / 8 - 8 * (b - 0.3) ** 2) + (design["c"] == "y")


def completed(designs: list[Design], sign: float = 1.0) -> list[Trial]:
    return [Trial(str(i), d, TrialState.COMPLETED, {"yield": sign * truth(d)}) for i, d in enumerate(designs)]


def experiments(planner: Planner, seed: int, *, sign: float = 1.0, shuffled: bool = False, most: int = 60) -> int:
    """How many until one of the best three of the pool was measured."""
    objective = Objective("yield", "max" if sign > 0 else "min")
    rng = np.random.default_rng(seed)
    values = np.array([truth(design) for design in POOL])
    good = {str(POOL[i]) for i in np.argsort(-values)[:3]}
    told = dict(zip(map(str, POOL), rng.permutation(values) if shuffled else values, strict=True))
    trials: list[Trial] = []
    for number in range(most):
        design = planner.suggest(SPACE, [objective], trials, pool=POOL, seed=seed * 1_000 + number)[0].design
        trials.append(Trial(str(number), design, TrialState.COMPLETED, {"yield": sign * told[str(design)]}))
        if str(design) in good:
            return number + 1
    return most


# --- What all must do -----------------------------------------------------------------------------------------------


@pytest.fixture(params=PLANNERS, ids=lambda p: f"{p.name} {getattr(p, 'acquisition', '')}".strip())
def planner(request: pytest.FixtureRequest) -> Planner:
    return request.param


def test_it_is_a_planner(planner: Planner) -> None:
    assert isinstance(planner, Planner)


@pytest.mark.parametrize("known", [0, 8])
def test_suggestions_are_new_different_and_those_of_the_seed(planner: Planner, known: int) -> None:
    trials = completed(POOL[:known])
    said = planner.suggest(SPACE, YIELD, trials, pool=POOL, count=4, seed=1)
    assert len({str(s.design) for s in said}) == 4
    assert all(s.design in POOL[known:] and s.why for s in said)
    assert said == planner.suggest(SPACE, YIELD, trials, pool=POOL, count=4, seed=1)


def test_what_is_under_way_or_abandoned_is_not_suggested_again(planner: Planner) -> None:
    trials = completed(POOL[:6])
    states = (TrialState.RUNNING, TrialState.STAGED, TrialState.ABANDONED, TrialState.EARLY_STOPPED)
    trials += [Trial(s.value, d, s) for s, d in zip(states, POOL[6:10], strict=True)]
    trials.append(Trial("failed", POOL[10], TrialState.FAILED))
    said = planner.suggest(SPACE, YIELD, trials, pool=POOL[:11], count=5, seed=0)
    assert [s.design for s in said] == [POOL[10]]


def test_a_space_without_a_pool_gives_allowed_designs(planner: Planner) -> None:
    space = DesignSpace(SPACE.parameters, (Linear((("a", 1.0),), 5.0),))
    trials = completed([d for d in POOL if float(d["a"]) <= 5.0][:8])
    for suggestion in planner.suggest(space, YIELD, trials, count=3, seed=0):
        space.checked(suggestion.design)


def test_prices_are_told(planner: Planner) -> None:
    said = planner.suggest(SPACE, YIELD, completed(POOL[:8]), pool=POOL, price=lambda d: Cost(micro_usd=5), seed=0)
    assert dict(said[0].cost) == {"micro_usd": 5}


@pytest.mark.parametrize(("objectives", "count"), [((), 1), (YIELD, 0)])
def test_what_cannot_be_planned_is_refused(planner: Planner, objectives: tuple[Objective, ...], count: int) -> None:
    with pytest.raises(ConfigError):
        planner.suggest(SPACE, objectives, [], pool=POOL, count=count, seed=0)


# --- What the Bayesian one must do ----------------------------------------------------------------------------------


def test_it_finds_the_best_sooner_than_chance_and_not_from_shuffled_results() -> None:
    def median(planner: Planner, *, shuffled: bool = False) -> float:
        return float(np.median([experiments(planner, seed, shuffled=shuffled) for seed in range(7)]))

    quick = Bayesian(model=GaussianProcessConfig(draws=6))
    learned, chance = median(quick), median(Random())
    assert learned * 2 < chance
    assert median(quick, shuffled=True) > 1.7 * learned


def test_less_is_better_where_the_goal_says_so() -> None:
    planner = Bayesian(model=GaussianProcessConfig(draws=4))
    assert experiments(planner, 0, sign=-1.0) == experiments(planner, 0)
    said = planner.suggest(SPACE, [Objective("yield", "min")], completed(POOL[:12], -1.0), pool=POOL, seed=0)[0]
    forecast = said.forecasts["yield"]
    assert forecast.low < forecast.mean < forecast.high and said.chance is not None and 0 < said.chance < 1


def test_the_first_ones_are_far_apart() -> None:
    said = Bayesian(first=4).suggest(SPACE, YIELD, [], pool=POOL, count=4, seed=0)
    x = SPACE.encode([s.design for s in said])
    assert min(np.linalg.norm(x[i] - x[j]) for i in range(4) for j in range(i)) > 0.7
    assert all("too few results" in s.why and not s.forecasts for s in said)


def test_a_thrifty_one_prefers_the_cheap() -> None:
    def price(design: Design) -> Cost:
        return Cost(micro_usd=100 if design["c"] == "x" else 10_000)

    trials = completed(POOL[:12])
    dear, cheap = (
        Bayesian(thrift=thrift).suggest(SPACE, YIELD, trials, pool=POOL, price=price, count=5, seed=0)
        for thrift in (0.0, 5.0)
    )
    assert sum(s.cost["micro_usd"] for s in cheap) < sum(s.cost["micro_usd"] for s in dear)
    assert all(s.design["c"] == "x" for s in cheap)


@pytest.mark.parametrize("wrong", [{"first": 1}, {"thrift": -1.0}, {"acquisition": "luck"}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(Bayesian(), **wrong)  # type: ignore[arg-type]


@given(st.floats(-8.0, 8.0))
def test_the_logarithm_of_improvement_is_that_of_its_formula(z: float) -> None:
    assert float(log_improvement(np.array(z))) == pytest.approx(math.log(norm.pdf(z) + z * norm.cdf(z)), rel=1e-4)


def test_far_below_it_goes_on_falling_smoothly() -> None:
    z = -np.geomspace(1.0, 1e4, 400)
    found = log_improvement(z)
    assert np.isfinite(found).all() and (np.diff(found) < 0).all()
    np.testing.assert_allclose(
        found[-1], -0.5 * z[-1] ** 2 - 0.5 * math.log(2 * math.pi) - 2 * math.log(-z[-1]), rtol=1e-9
    )


def test_expected_improvement_is_that_of_drawn_functions() -> None:
    trials = completed(POOL[:12])
    x, y = SPACE.encode([t.design for t in trials]), np.array([t.results["yield"] for t in trials])
    process = fit_gaussian_process(SPACE.groups, x, y, config=GaussianProcessConfig(draws=1), seed=0)
    there = SPACE.encode(POOL[12:15])
    chance, expected = improvement(process, there)
    drawn = process.draw(there, 40_000, seed=0) - process.predict(x).mean.max()
    np.testing.assert_allclose(np.exp(chance), (drawn > 0).mean(0), atol=0.01)
    np.testing.assert_allclose(np.exp(expected), np.maximum(drawn, 0).mean(0), rtol=0.1, atol=0.01)


def test_the_hypervolume_improvement_is_that_of_two_objectives() -> None:
    """Against the area by which a sure result exceeds the front."""
    x = SPACE.encode(POOL[:12])
    one, other = np.linspace(0.0, 1.0, 12), np.linspace(1.0, 0.0, 12)
    config = GaussianProcessConfig(draws=1, prior=PriorConfig(noise=1e-3))
    processes = [fit_gaussian_process(SPACE.groups, x, y, config=config, seed=0) for y in (one, other)]
    gains = np.exp(hypervolume_improvement(processes, x, seed=0).log_gain)
    assert gains.max() < 0.02, "what was measured adds next to nothing"
    far = np.exp(hypervolume_improvement(processes, SPACE.encode(POOL[12:40]), seed=0).log_gain)
    assert far.max() > 3 * gains.max()


def test_a_front_is_planned_by_both_objectives() -> None:
    both = (Objective("yield"), Objective("waste", "min"))
    rng = np.random.default_rng(0)

    def done(number: int, design: Design) -> Trial:
        return Trial(str(number), design, TrialState.COMPLETED, {"yield": truth(design), "waste": float(design["a"])})

    def area(found: list[Trial]) -> float:
        """Between the front and the worst corner (yield 0, waste 10)."""
        best, total = 0.0, 0.0
        for trial in sorted(found, key=lambda t: t.results["waste"]):
            gained = max(trial.results["yield"] - best, 0.0)
            total += gained * (10 - trial.results["waste"])
            best += gained
        return total

    everything = [done(number, design) for number, design in enumerate(POOL)]
    planned = []
    for _ in range(2):
        trials = [everything[i] for i in rng.permutation(len(POOL))[:10]]
        for number in range(10, 28):
            said = Bayesian(model=GaussianProcessConfig(draws=4)).suggest(SPACE, both, trials, pool=POOL, seed=number)
            assert set(said[0].forecasts) == {"yield", "waste"} and said[0].gain is None
            trials.append(done(1_000 + number, said[0].design))
        planned.append(area(trials))
    by_chance = [area([everything[i] for i in rng.permutation(len(POOL))[:28]]) for _ in range(50)]
    assert area(everything) - np.mean(planned) < 0.5 * (area(everything) - np.mean(by_chance))


def test_experiments_that_fail_are_avoided() -> None:
    """Everything with the choice y fails, though y is better where it works."""
    trials = completed([d for d in POOL[:30] if d["c"] == "x"])
    failed = [d for d in POOL[:30] if d["c"] == "y"]
    trials += [Trial(f"f{i}", d, TrialState.FAILED) for i, d in enumerate(failed)]
    said = Bayesian().suggest(SPACE, YIELD, trials, pool=POOL[30:], count=5, seed=0)
    assert all(s.design["c"] == "x" for s in said)


def test_nothing_is_worth_its_price_where_little_is_to_be_gained() -> None:
    def price(_: Design) -> Cost:
        return Cost(micro_usd=1_000)

    trials = completed(POOL[:40])
    dear, cheap = (
        Bayesian(worth=worth).suggest(SPACE, YIELD, trials, pool=POOL, price=price, seed=0)[0] for worth in (1e-3, 1e9)
    )
    assert dear.worthwhile is False and cheap.worthwhile is True
    assert Bayesian().suggest(SPACE, YIELD, trials, pool=POOL, price=price, seed=0)[0].worthwhile is None


def test_a_model_that_foresees_nothing_is_left_for_chance() -> None:
    rng = np.random.default_rng(0)
    noise = [Trial(str(i), d, TrialState.COMPLETED, {"yield": rng.standard_normal()}) for i, d in enumerate(POOL[:40])]
    whys = [Bayesian().suggest(SPACE, YIELD, noise, pool=POOL, seed=seed)[0].why for seed in range(12)]
    assert sum(why.startswith("by chance") for why in whys) >= 3
    sound = [Bayesian().suggest(SPACE, YIELD, completed(POOL[:40]), pool=POOL, seed=seed)[0].why for seed in range(4)]
    assert not any(why.startswith("by chance") for why in sound)


# --- With earlier campaigns -----------------------------------------------------------------------------------------


def with_earlier(trials: list[Trial], seeds: int = 7) -> float:
    planner = Bayesian(earlier=(Earlier(tuple(trials)),), model=GaussianProcessConfig(draws=4))
    return float(np.median([experiments(planner, seed) for seed in range(seeds)]))


def test_a_sister_campaign_saves_experiments_and_a_misleading_one_hardly_costs_any() -> None:
    cold = float(np.median([experiments(Bayesian(model=GaussianProcessConfig(draws=4)), seed) for seed in range(7)]))
    sister = [
        dataclasses.replace(t, results={"yield": 3 * t.results["yield"] + 2}) for t in completed(list(POOL[100:160]))
    ]
    upside_down = [dataclasses.replace(t, results={"yield": -t.results["yield"]}) for t in sister]
    assert with_earlier(sister) <= 0.5 * cold
    assert with_earlier(upside_down) <= 1.5 * cold


def test_an_earlier_campaign_of_another_space_is_refused() -> None:
    strange = [Trial(str(i), {"z": 1.0}, TrialState.COMPLETED, {"yield": 1.0 * i}) for i in range(4)]
    with pytest.raises(ConfigError, match="earlier campaign"):
        Bayesian(earlier=(Earlier(tuple(strange)),)).suggest(SPACE, YIELD, [], pool=POOL, seed=0)


def test_of_an_earlier_campaign_counts_what_the_new_space_can_say() -> None:
    """Numbers out of bounds do, other levels do not."""
    designs = [{"a": 11.0 + i, "b": 0.1 * i, "c": "x"} for i in range(4)] + [{"a": 1.0, "b": 0.5, "c": "z"}]
    trials = [Trial(str(i), d, TrialState.COMPLETED, {"yield": 1.0 * i}) for i, d in enumerate(designs)]
    fitted = Earlier(tuple(trials)).fitted(SPACE, YIELD[0])
    assert fitted is not None and len(fitted.process.y) == 4
    assert Earlier(tuple(trials[3:])).fitted(SPACE, YIELD[0]) is None, "two results are too few"


def test_before_the_first_result_the_earlier_ones_decide() -> None:
    sister = completed(list(POOL))
    said = Bayesian(earlier=(Earlier(tuple(sister)),)).suggest(SPACE, YIELD, [], pool=POOL, seed=0)[0]
    assert truth(said.design) > 0.95 * max(map(truth, POOL)) and "earlier campaigns" in said.why


# --- Fidelities -----------------------------------------------------------------------------------------------------

LEVELS = Fidelities({0.25: 0.1, 1.0: 1.0})


def coarse(design: Design, level: float, *, related: bool) -> float:
    """At level 1 the truth; below, something like it or something else."""
    other = truth(design) + 0.5 * math.sin(3 * float(design["a"])) if related else 5 * math.cos(40 * float(design["b"]))
    return level * truth(design) + (1 - level) * other


def spent_until_good(fidelities: Fidelities | None, *, related: bool, seed: int) -> tuple[int, list[Suggestion]]:
    """The price of everything until one of the best three was measured in full; a full experiment costs 10."""
    planner = Bayesian(fidelities=fidelities, model=GaussianProcessConfig(draws=4))
    best = {str(POOL[i]) for i in np.argsort([-truth(design) for design in POOL])[:3]}
    trials: list[Trial] = []
    said: list[Suggestion] = []
    spent = 0
    while spent < 600:
        one = planner.suggest(SPACE, YIELD, trials, pool=POOL, price=lambda _: Cost(money=10), seed=seed + len(trials))[
            0
        ]
        said.append(one)
        spent += one.cost.of("money")
        result = coarse(one.design, one.fidelity, related=related)
        trials.append(
            Trial(str(len(trials)), one.design, TrialState.COMPLETED, {"yield": result}, one.cost, one.fidelity)
        )
        if one.fidelity == 1.0 and str(one.design) in best:
            break
    return spent, said


def test_coarse_experiments_that_tell_something_save_money_and_the_log_says_why() -> None:
    seeds = range(0, 500, 100)
    with_them = [spent_until_good(LEVELS, related=True, seed=seed) for seed in seeds]
    without = [spent_until_good(None, related=True, seed=seed)[0] for seed in seeds]
    assert np.median([spent for spent, _ in with_them]) < 0.8 * np.median(without)
    planned = [one for _, said in with_them for one in said[5:]]
    assert {one.fidelity for one in planned} == {0.25, 1.0}
    assert all(("at fidelity 0.25, which tells" in one.why) == (one.fidelity == 0.25) for one in planned)
    assert all(one.cost.of("money") == (1 if one.fidelity == 0.25 else 10) for one in planned)


def test_a_design_is_tried_at_a_level_once() -> None:
    _, said = spent_until_good(LEVELS, related=True, seed=7)
    tried = [(str(one.design), one.fidelity) for one in said]
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize(
    "wrong", [{}, {1.0: 0.5}, {0.5: 0.5}, {0.0: 0.1, 1.0: 1.0}, {2.0: 1.0, 1.0: 1.0}, {0.5: 0.0, 1.0: 1.0}]
)
def test_what_are_no_fidelities_is_refused(wrong: dict[float, float]) -> None:
    with pytest.raises(ConfigError, match="fidelities"):
        Fidelities(wrong)


def test_fidelities_are_read_as_people_write_them() -> None:
    assert Fidelities.from_json({"0.25": "0.1", 1: 1}) == LEVELS
    assert LEVELS.cost(Cost(money=15), 0.25) == Cost(money=2), "rounded up"
    for wrong in (3, {"full": 1}, None):
        with pytest.raises(ConfigError):
            Fidelities.from_json(wrong)
    with pytest.raises(ConfigError, match="no such fidelity"):
        LEVELS.cost(Cost(money=1), 0.5)
