import numpy as np
import pytest

from gedanken.evidence.interval import Interval
from gedanken.report.data import Curve, Learning, LedgerView, NotMeasured, Spending, Trajectories
from gedanken.report.drawing import MOST_POINTS, running_mean, thin, up_to
from gedanken.report.figures import (
    MOST_PANELS,
    coverage,
    horizon_error,
    knows_its_errors,
    learning_curve,
    returns,
    spending,
    termination_reliability,
    trajectory_panels,
)
from gedanken.report.markup import legend_of
from gedanken.report.theme import PALETTE

NONE = Interval.missing("never asked")


def named(figure, name):
    return next(trace for trace in figure.data if (trace.name or "").startswith(name))


def test_learning_curve_shows_every_episode_their_mean_and_the_check() -> None:
    steps, values = np.arange(1, 41) * 10.0, np.arange(40.0)
    real = Interval(38.0, 36.0, 40.0, 10)
    made = learning_curve(Learning(steps, values), real_return=real, reference=NotMeasured("no"), paid_steps=400)
    assert named(made, "a real episode").y.tolist() == values.tolist()
    assert named(made, "mean of the last 10").y[-1] == pytest.approx(np.mean(values[-10:]))
    final = named(made, "final agent, checked in 10 episodes")
    assert (final.x[0], final.y[0], final.error_y.array[0], final.error_y.arrayminus[0]) == (400, 38, 2, 2)


def test_the_reference_is_drawn_as_far_as_was_paid() -> None:
    x = np.arange(0.0, 5_000.0, 500.0)
    long = Curve(x, 2 * x, x, 3 * x)
    assert list(up_to(long, 1_200.0).x) == [0.0, 500.0, 1_000.0, 1_500.0]
    assert list(up_to(long, 1_000.0).x) == [0.0, 500.0, 1_000.0, 1_500.0]
    assert len(up_to(long, 90_000.0).high) == len(x) and list(up_to(long, -1.0).low) == [0.0]


def test_learning_curve_of_no_episode_is_still_a_figure() -> None:
    empty = Learning(np.zeros(0), np.zeros(0))
    made = learning_curve(empty, real_return=NONE, reference=NotMeasured("no"), paid_steps=None)
    assert [trace.name for trace in made.data] == ["a real episode"]


def test_running_mean_and_thinning() -> None:
    assert running_mean(np.array([2.0, 4.0, 6.0, 8.0]), 2).tolist() == [2.0, 3.0, 5.0, 7.0]
    kept = thin(1_000_000)
    assert len(kept) == MOST_POINTS and kept[0] == 0 and kept[-1] == 999_999 and (np.diff(kept) > 0).all()
    assert thin(3).tolist() == [0, 1, 2]


def test_trajectories_leave_out_what_stands_still_and_stop_where_the_dream_ended() -> None:
    time = np.arange(30.0)
    real = np.stack([time, np.zeros(30), *[np.sin(time + k) for k in range(10)]], axis=1)
    imagined = np.repeat(real[None], 5, axis=0) + np.arange(5.0)[:, None, None]
    imagined[:, 20:] = np.nan
    panels = trajectory_panels(Trajectories([f"d{k}" for k in range(12)], real, imagined, "x", step_seconds=0.5))
    assert [name for name, _ in panels] == ["d0", *[f"d{k}" for k in range(2, MOST_PANELS + 1)]]
    made = panels[0][1]
    median = named(made, "imagined: median")
    assert median.y[:20].tolist() == (real[:20, 0] + 2).tolist() and np.isnan(median.y[20:]).all()
    assert made.layout.xaxis.title.text == "Time (s)" and named(made, "real").x[-1] == 14.5
    area = next(trace for trace in made.data if trace.fill == "toself")
    assert np.isfinite(area.y).all() and max(area.x) == 9.5


def test_one_imagined_path_has_no_band() -> None:
    real = np.arange(6.0)[:, None]
    [(_, made)] = trajectory_panels(Trajectories(["x"], real, real[None], "x"))
    assert [trace.name for trace in made.data if trace.name] == ["imagined", "real"]
    assert made.layout.xaxis.title.text == "Step"


def test_horizon_error_marks_what_was_found_and_survives_gaps() -> None:
    some, gone = Interval(0.1, 0.08, 0.12, 9).to_json(), Interval.missing("too short").to_json()
    fidelity = {
        "horizons": [1, 5, 50],
        "model": [some, some, gone],
        "persistence": [some, some, gone],
        "tolerance": 0.5,
        "safe_horizon": None,
        "break_even_horizon": 5,
    }
    made = horizon_error(fidelity)
    assert [note.text for note in made.layout.annotations] == ["breaks even: 5"]
    assert made.layout.annotations[0].x == pytest.approx(np.log10(5))
    assert np.isnan(named(made, "world model").y[2])
    assert named(made, "0.5 of persistence").y[0] == pytest.approx(0.05)


def test_coverage_is_drawn_in_percent_and_only_where_measured() -> None:
    unknown = Interval.missing("too few").to_json()
    rows = [
        {"kind": "mixture", "level": level, "covered": Interval(held, held - 0.02, held + 0.02, 5).to_json()}
        for level, held in ((0.5, 0.2), (0.9, 0.88))
    ]
    rows.append({"kind": "conformal", "level": 0.9, "covered": unknown})
    made = coverage({"coverage": rows})
    assert named(made, "mixture").y.tolist() == pytest.approx([20, 88]) and made.layout.yaxis.range[0] == 20
    assert not any(trace.name == "conformal" for trace in made.data)
    assert coverage({"coverage": rows[2:]}) is None


def test_what_was_not_measured_has_no_figure() -> None:
    assert termination_reliability({"bins": [], "terminations": 0}) is None
    still = [{"predicted": 0.0, "observed": 0.0, "count": 9}]
    assert termination_reliability({"bins": still, "terminations": 0}) is None
    assert termination_reliability({"bins": still, "terminations": 1}) is not None
    assert knows_its_errors({"spread": []}) is None
    assert returns([("in the world", "check", NONE)]) is None
    assert spending(LedgerView(budget={"steps": 5}, balances=[]), "steps") is None


def test_a_wide_range_of_uncertainty_gets_logarithmic_axes() -> None:
    def spread(values):
        return {"spread": [{"predicted": value, "actual": value, "count": 1} for value in values]}

    assert knows_its_errors(spread([0.001, 1.0])).layout.xaxis.type == "log"
    assert knows_its_errors(spread([0.1, 0.2])).layout.xaxis.type is None
    assert knows_its_errors(spread([0.0, 1.0])).layout.xaxis.type is None


def test_returns_leave_room_around_what_is_drawn() -> None:
    rows = [
        ("a", "check", Interval(10.0, 8.0, 12.0, 5)),
        ("b", "model", Interval(20.0, None, None, 1)),
        ("c", "real", NONE),
    ]
    made = returns(rows)
    low, high = made.layout.xaxis.range
    assert low < 8.0 and high > 20.0 and list(made.layout.yaxis.ticktext) == ["a", "b"]
    alone = returns([("a", "check", Interval(0.0, 0.0, 0.0, 5))])
    assert alone.layout.xaxis.range[0] < 0 < alone.layout.xaxis.range[1]


def test_spending_runs_to_the_end_under_the_budget() -> None:
    view = LedgerView(
        budget={"steps": 100},
        balances=[],
        spending=[
            Spending("learn", "steps", np.array([10.0, 400.0]), np.array([5, 40])),
            Spending("check", "steps", np.array([600.0]), np.array([30])),
        ],
    )
    made = spending(view, "steps")
    learn = named(made, "account “learn”")
    assert learn.y.tolist() == [0, 5, 40, 40] and learn.x[-1] == 10.0
    assert made.layout.xaxis.title.text == "Time since the start (minutes)"
    assert made.layout.annotations[0].text == "budget 100" and made.layout.yaxis.range[1] > 100


def test_the_legend_follows_the_theme_and_its_order() -> None:
    curve = Curve(np.arange(3.0), np.ones(3), np.ones(3), np.ones(3))
    made = learning_curve(
        Learning(np.arange(1.0, 9.0), np.ones(8), predicted=curve),
        real_return=Interval(1.0, 0.5, 1.5, 3),
        reference=NotMeasured("no"),
        paid_steps=9,
    )
    keys = legend_of(made)
    assert keys.count("<span>") == 4 and "var(--model)" in keys and "point diamond" in keys and "var(--check)" in keys
    assert keys.index("a real episode") < keys.index("predicted")


def test_the_palette_can_be_told_apart_by_colour_blind_eyes() -> None:
    """Lightness or blue-yellow must separate any two data colours where red and green look alike (deuteranopia)."""

    def seen(value: str) -> np.ndarray:
        rgb = np.array([int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        # Machado, Oliveira & Fernandes (2009), deuteranopia, severity 1.
        matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
        red, green, blue = np.clip(np.asarray(matrix) @ linear, 0, 1)
        light = 116 * np.cbrt(0.2126 * red + 0.7152 * green + 0.0722 * blue) - 16
        return np.array([light, 200 * (np.cbrt(0.2126 * red + 0.7152 * green) - np.cbrt(blue))])

    for theme in (0, 1):
        data = {role: seen(PALETTE[role][theme]) for role in ("real", "model", "check", "reference", "still")}
        for one in data:
            for other in data:
                if one < other:
                    assert np.linalg.norm(data[one] - data[other]) > 9, (theme, one, other)
