import json

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import FileError
from gedanken.evidence.calibration import check_calibration
from gedanken.evidence.exploitation import exploitation_gap
from gedanken.evidence.fidelity import error_by_horizon
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.model_card import NAME, claims, model_card, write_model_card
from gedanken.evidence.value import imagined_against_real
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, double_integrator

RUN = {"id": "run-1", "config": {"world": "Linear", "seed": 3, "family": "analytic"}}
CURATION = {
    "steps": 1_500,
    "episodes": 12,
    "split": {"held_out": [1, 4], "held_out_steps": 200},
    "outcomes": {"success": 0, "failure": 2, "unknown": 10},
    "leakage": {"exact": 0},
    "policies": {"random": {"steps": 1_500, "episodes": 12}},
    "coverage": {"dimensions": [{"name": "position", "low": -1.0, "high": 2.5}, {"name": "text", "low": None}]},
}
NOTHING = {"real_return": Interval.missing("no check was asked for").to_json(), "predicted_return": None}


@pytest.fixture(scope="module")
def evidence():
    """Of a model that is right, and of an agent that earns what it promises."""
    model = double_integrator(noise=0.05, spread=0.01, growth=1.0)
    env = AnalyticEnv(double_integrator(noise=0.05), horizon=60)
    episodes, key = record(env, 24, seed=0), jax.random.key(0)
    real = [episode.total_reward for episode in episodes]
    imagined = [value + (-1.0) ** number for number, value in enumerate(real)]
    return json.loads(
        json.dumps(
            {
                "real_return": mean_with_interval(real, seed=0).to_json(),
                "value": imagined_against_real(real=real, imagined=imagined, paired=True, seed=0).to_json(),
                "exploitation": exploitation_gap(real=real, imagined=imagined, paired=True, seed=0).to_json(),
                "fidelity": error_by_horizon(model, episodes, env.codec, key=key, seed=0).to_json(),
                "calibration": check_calibration(model, episodes, env.codec, key=key, seed=0).to_json(),
            }
        )
    )


def card(evidence, **others):
    parts = {"run": RUN, "model": {"meta": {"id": "analytic-1"}}, "curation": CURATION, "anchors": {}} | others
    return model_card(evidence, **parts)


def level(evidence, words):
    (found,) = [claim for claim in claims(evidence) if words in claim.text]
    return found.level


def forbidden(text):
    return text.partition("## What it must not be used for")[2]


def test_a_good_model_is_forbidden_only_what_was_not_measured(evidence):
    text = card(evidence)
    assert "`analytic-1`" in text and "1,500 real steps in 12 episodes" in text
    for words in ("real return is known", "return it promises", "live off", "sees ahead", "knows the reward"):
        assert level(evidence, words) == "measured with interval"
    assert level(evidence, "end an episode") == "not measured"
    assert "no ending among" in forbidden(text) and "position in [-1, 2.5]" in forbidden(text)
    assert "optimised in it" not in forbidden(text) and "deploy" not in forbidden(text)


def test_what_fails_is_refuted_and_forbidden_with_the_figure(evidence):
    """The corruption: a gap that is all above 0, intervals that miss, a model that sees nothing."""
    gap = Interval(40.0, 30.0, 50.0, 10).to_json()
    covered = Interval(0.6, 0.5, 0.7, 24).to_json()
    bad = json.loads(json.dumps(evidence))
    bad["exploitation"] |= {"gap": gap, "exploited": True}
    bad["value"]["difference"] = gap
    bad["fidelity"] |= {"safe_horizon": 0, "break_even_horizon": 1}
    bad["calibration"] |= {"crps_skill": Interval(-0.2, -0.3, -0.1, 24).to_json(), "reward_std": 0.0}
    for entry in bad["calibration"]["coverage"]:
        entry["covered"] = covered
    refuted = [claim.text for claim in claims(bad) if claim.level == "refuted"]
    assert len(refuted) == 6
    text = forbidden(card(bad))
    for words in ("optimised in it", "40 [30, 50], n=10", "0.60 [0.50, 0.70]", "safe horizon 0 steps"):
        assert words in text


def test_an_interval_that_holds_both_decides_nothing(evidence):
    unsure = json.loads(json.dumps(evidence))
    unsure["calibration"]["crps_skill"] = Interval(0.1, -0.1, 0.3, 24).to_json()
    (skill,) = [claim for claim in claims(unsure) if "forecast beats" in claim.text]
    assert skill.level == "undecided" and "forecast a single step (undecided" in forbidden(card(unsure))
    alone = json.loads(json.dumps(evidence))
    alone["real_return"] = mean_with_interval([3.0], seed=0).to_json()
    assert level(alone, "real return is known") == "measured without interval"


def test_of_a_run_that_was_not_checked_nothing_is_claimed_and_everything_forbidden():
    made = claims(NOTHING)
    assert {claim.level for claim in made} == {"not measured"}
    text = model_card(NOTHING, run={}, model={}, curation={}, anchors={})
    restricted = [claim.forbids for claim in made if claim.forbids]
    assert len(restricted) == len(made) and all(words in forbidden(text) for words in restricted)
    assert "Safe horizon: not measured" in text and "Not known: the data were not curated" in text
    assert "None" not in text and "nan" not in text


def test_anchors_are_told(evidence):
    text = card(evidence, anchors={"chosen": "monotone", "reason": "held-out error of 40 anchors"})
    assert "Rewards recalibrated (monotone): held-out error of 40 anchors" in text


def test_it_is_written_beside_the_evidence(evidence, tmp_path):
    with pytest.raises(FileError, match="no evidence"):
        write_model_card(tmp_path)
    (tmp_path / "evidence.json").write_text(json.dumps(evidence))
    path = write_model_card(tmp_path)
    assert path == tmp_path / NAME and path.read_text().startswith("# Model card")
    (tmp_path / "curation.json").write_text("{")
    with pytest.raises(FileError, match="damaged"):
        write_model_card(tmp_path)


@settings(max_examples=30, deadline=None)
@given(st.floats(-2, 2), st.floats(0, 2), st.sampled_from(["crps_skill", "uncertainty_rank"]))
def test_every_claim_that_does_not_stand_restricts_the_use(mean, half, name):
    evidence = {"calibration": {name: Interval(mean, mean - half, mean + half, 20).to_json(), "coverage": []}}
    text = forbidden(model_card(evidence, run={}, model={}, curation={}, anchors={}))
    for claim in claims(evidence):
        assert claim.stands == (claim.level.startswith("measured"))
        assert bool(claim.forbids) and (claim.forbids in text) == (not claim.stands)
    (found,) = [
        claim for claim in claims(evidence) if str(Interval(mean, mean - half, mean + half, 20)) in claim.figure
    ]
    assert found.stands == (mean - half > 0.0)
