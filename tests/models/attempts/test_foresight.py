import numpy as np
import pytest
from scipy.stats import spearmanr

from gedanken.models.attempts.foresight import Done, Foresight
from gedanken.worlds.ml_engineering.pipelines import drawn
from gedanken.worlds.parameters import Design
from tests.models.attempts.synthetic import features, heads, outcome

TASK = features(rows=6.0, level=-0.6)
DESIGNS = drawn("regression", 120, seed=5)


def done(design: Design, *, slower: float = 1.0, worse: float = 0.0) -> Done:
    return Done(design, *outcome(design, TASK, slower=slower, worse=worse), startup_ms=1_500.0)


def after(count: int, **changed: float) -> Foresight:
    foresight = Foresight(heads(), TASK)
    for design in DESIGNS[:count]:
        foresight = foresight.after(done(design, **changed))
    return foresight


def test_before_the_first_attempt_the_heads_speak() -> None:
    told = after(0).foretell(DESIGNS)
    real = [outcome(design, TASK) for design in DESIGNS]
    ok = np.array([verdict == "ok" for verdict, _, _ in real])
    assert told.ok[ok].min() > 0.6 > 0.4 > told.ok[~ok].max()
    assert (told.skill_low <= told.skill).all() and (told.skill <= told.skill_high).all()
    assert (told.work_low <= told.work_ms).all() and (told.work_ms <= told.work_high).all()
    np.testing.assert_allclose(told.verdicts.sum(1), 1)


def test_a_slower_machine_and_a_harder_task_are_noticed() -> None:
    new, ok = DESIGNS[30:], np.array([outcome(design, TASK)[0] == "ok" for design in DESIGNS[30:]])
    before = Foresight(heads(), TASK).foretell(new)
    told = after(30, slower=5.0, worse=0.4).foretell(new)
    real = [done(design, slower=5.0, worse=0.4) for design in new]
    work = np.array([one.work_ms for one in real])[ok]
    skill = np.array([one.skill for one in real if one.skill is not None])
    assert (
        np.median(np.abs(np.log(told.work_ms[ok] / work))) < 0.3 < np.median(np.abs(np.log(before.work_ms[ok] / work)))
    )
    assert np.abs(told.skill[ok] - skill).mean() < 0.5 * np.abs(before.skill[ok] - skill).mean()
    assert told.startup_ms == 1_500.0
    assert spearmanr(told.skill[ok], skill).statistic > 0.8


def test_intervals_hold_about_as_often_as_they_say() -> None:
    held = []
    new = [design for design in DESIGNS[30:] if outcome(design, TASK)[0] == "ok"]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        known = tuple(done(design, worse=0.05 * rng.standard_normal()) for design in DESIGNS[:30])
        told = Foresight(heads(), TASK, known).foretell(new)
        for i, design in enumerate(new):
            skill = done(design, worse=0.05 * rng.standard_normal()).skill
            assert skill is not None
            held.append(told.skill_low[i] <= skill <= told.skill_high[i])
    assert 0.82 <= np.mean(held) <= 0.98


def test_the_better_of_two_is_foretold_and_no_answer_is_the_worst() -> None:
    foresight = after(20)
    pairs = [(one, other) for one, other in zip(DESIGNS[20:70], DESIGNS[70:], strict=True)]
    said = foresight.better([one for one, _ in pairs], [other for _, other in pairs])
    back = foresight.better([other for _, other in pairs], [one for one, _ in pairs])
    np.testing.assert_allclose(said + back, 1, atol=1e-9)
    worth = [[skill if (skill := outcome(d, TASK)[1]) is not None else -9.0 for d in pair] for pair in pairs]
    agree = [(p > 0.5) == (one > other) for p, (one, other) in zip(said, worth, strict=True) if abs(one - other) > 0.02]
    assert np.mean(agree) > 0.85


def test_failures_teach_where_the_heads_were_wrong() -> None:
    foresight = Foresight(heads(), TASK)
    target = [d for d in DESIGNS if d["words"] == "target"]
    assert foresight.foretell(target).ok.mean() > 0.8
    for design in target[:8]:
        foresight = foresight.after(Done(design, "error", None, 10.0))
    for design in [d for d in DESIGNS if d["words"] == "one_hot"][:8]:
        foresight = foresight.after(done(design))
    told = foresight.foretell([*target[8:], *(d for d in DESIGNS if d["words"] == "one_hot")])
    count = len(target) - 8
    assert told.ok[:count].mean() < 0.5 < told.ok[count:].mean()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_first_attempts_are_enough_to_go_on(count: int) -> None:
    told = after(count).foretell(DESIGNS)
    assert all(np.isfinite(part).all() for part in (told.ok, told.skill, told.work_ms, told.work_high))
