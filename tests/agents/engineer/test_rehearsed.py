import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gedanken.agents.duration_aware import PartialCredit
from gedanken.agents.engineer import Engineer, LearnedMoves, Rehearsed, Rehearsing, Tried, train_policy
from gedanken.agents.engineer.rehearsed import Progress, ended_of
from gedanken.dreams.attempts import AttemptsDream, Campaigns
from gedanken.dreams.attempts_seen import mask_of
from gedanken.errors import ConfigError, FileError
from gedanken.worlds.ml_engineering.attempt import VALID, check
from gedanken.worlds.ml_engineering.moves import MOVES, MUTATE, STOP, place
from gedanken.worlds.ml_engineering.pipelines import program, sensible
from tests.models.attempts.synthetic import features, heads, outcome

TASKS = {f"task {n}": features(words=n % 2 == 0, rows=5.0 + n / 2, level=-0.2 * n) for n in range(8)}
UNSEEN = features(rows=6.2, level=-0.7)


def dream(budget_ms: float = 12_000.0, tasks: dict[str, np.ndarray] | None = None) -> AttemptsDream:
    return AttemptsDream(heads(), tasks or TASKS, Campaigns(budget_ms=budget_ms))


def best(env: AttemptsDream, choose: Callable[[np.ndarray, np.random.Generator], int], seeds: range) -> np.ndarray:
    """[N], the best skills of campaigns."""
    found = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        rng, over = np.random.default_rng(seed), False
        while not over:
            observation, _, over, _, info = env.step(choose(observation, rng))
        found.append(info["best"])
    return np.array(found)


def uniform(observation: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(mask_of(observation)[:STOP])))


def short(**settings: object) -> Rehearsing:
    return Rehearsing(**{"duration_aware": False, "campaigns": 64, "batch": 64, **settings})  # type: ignore[arg-type]


def numbers(learned: LearnedMoves) -> list[np.ndarray]:
    return [np.asarray(learned.policy.logits), np.asarray(learned.policy.slopes), learned.mean, learned.scale]


def same(one: LearnedMoves, other: LearnedMoves) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(numbers(one), numbers(other), strict=True))


def tried(index: int, *, verdict: str | None = None) -> Tried:
    design = sensible("regression")[index]
    came, skill, work = outcome(design, UNSEEN)
    text = program(design, "regression")
    if verdict is not None:
        return Tried(text, design, verdict, None, 100)
    return Tried(text, design, came, skill, round(1_500 + work), 1_500)


@pytest.mark.slow
def test_what_is_learned_beats_moves_by_chance_on_a_task_that_was_not_practised() -> None:
    learned = train_policy(dream(), Rehearsing(duration_aware=False, campaigns=1_600))
    env = dream(tasks={"unseen": UNSEEN})
    apart = best(env, learned.choose, range(9_000, 9_060)) - best(env, uniform, range(9_000, 9_060))
    assert apart.mean() > 2.5 * apart.std() / np.sqrt(len(apart)) > 0


def test_a_short_training_is_that_of_its_seed_and_tells_how_it_goes() -> None:
    told: list[Progress] = []
    one = train_policy(dream(), short(), progress=told.append)
    assert len(told) >= 3 and told[-1].campaigns <= 64 and all(0 <= step.best <= 1 for step in told)
    assert same(one, train_policy(dream(), short()))
    assert not same(one, train_policy(dream(), short(seed=1)))
    assert not same(one, train_policy(dream(), short(duration_aware=True)))
    assert one.about["tasks"] == list(TASKS) and one.about["learning"]["campaigns"] == 64


def test_only_what_is_possible_is_chosen() -> None:
    learned, env = LearnedMoves.unlearned(), dream()
    observation, _ = env.reset(seed=0)
    chances = learned.probabilities(observation)
    assert chances.sum() == pytest.approx(1.0) and chances[MUTATE] == 0.0 and 0 < chances[STOP] < chances[0]
    # The gradient's probabilities are those that are drawn from.
    seen = learned.policy.probabilities(learned.features(observation[None]))[0]
    assert np.allclose(seen, chances, atol=1e-6)


def test_saving_and_loading_gives_the_same_policy(tmp_path: Path) -> None:
    learned = train_policy(dream(), short(campaigns=16))
    learned.save(tmp_path / "policy")
    again = LearnedMoves.load(tmp_path / "policy")
    assert same(learned, again) and again.about["model"] == learned.about["model"]


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        LearnedMoves.load(tmp_path)
    LearnedMoves.unlearned().save(tmp_path)
    content = (tmp_path / "moves.npz").read_bytes()
    for damaged in (content[:-40], content[:200] + b"?" + content[201:], b""):
        (tmp_path / "moves.npz").write_bytes(damaged)
        with pytest.raises(FileError):
            LearnedMoves.load(tmp_path)
    (tmp_path / "moves.npz").write_bytes(content)
    manifest = json.loads((tmp_path / "moves.json").read_text())
    for change in ({"schema": 99}, {"moves": ["another"]}, {"about": 3}):
        (tmp_path / "moves.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(FileError):
            LearnedMoves.load(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"campaigns": 0},
        {"siblings": 1},
        {"batch": 1},
        {"learning_rate": 0.0},
        {"momentum": 1.0},
        {"thrift": -1.0},
        {"sooner": 1.1},
        {"seed": -1},
        {"credit": PartialCredit(stages=VALID - 1)},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        short(**settings)


def test_for_real_it_proposes_programs_that_are_new_and_says_what_it_expects() -> None:
    agent = Rehearsed(LearnedMoves.unlearned(), UNSEEN, heads())
    assert isinstance(agent, Engineer) and agent.name == "rehearsed"
    past = [tried(0), tried(1), tried(2, verdict="killed")]
    known, found = {place(one.design) for one in past if one.design is not None}, 0
    for seed in range(6):
        proposal = agent.propose("regression", past, left_ms=9_000.0, limit_ms=5_000.0, seed=seed)
        if proposal is None:
            continue  # it would stop
        found += 1
        assert proposal.design is not None and place(proposal.design) not in known
        assert check(proposal.program) == "" and any(name in proposal.why for name in MOVES)
        assert proposal.outlook is not None and 0 < proposal.outlook.ok < 1
        assert proposal.chance is not None and 0 <= proposal.chance <= 1
        assert proposal == agent.propose("regression", past, left_ms=9_000.0, limit_ms=5_000.0, seed=seed)
    assert found >= 4


def test_without_heads_it_proposes_and_expects_nothing() -> None:
    agent = Rehearsed(LearnedMoves.unlearned(), UNSEEN)
    running = Tried(program(sensible("regression")[0], "regression"), sensible("regression")[0])
    proposal = agent.propose("regression", [running], left_ms=9_000.0, limit_ms=5_000.0, seed=0)
    assert proposal is not None and proposal.outlook is None and proposal.chance is None
    assert agent.propose("regression", [running], left_ms=0.0, limit_ms=5_000.0, seed=0) is None
    with pytest.raises(ConfigError):
        agent.propose("binary", [], left_ms=9_000.0, limit_ms=5_000.0, seed=0)


def test_a_verdict_that_the_model_does_not_know_is_an_error_to_it() -> None:
    assert ended_of(tried(0, verdict="killed")).verdict == "error"
    assert ended_of(Tried("", None)).verdict is None
