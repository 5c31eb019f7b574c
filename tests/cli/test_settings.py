import json

import pytest

from gedanken.cli.running import Run
from gedanken.cli.settings import named_as_file, numbered
from gedanken.errors import ConfigError
from gedanken.intermediary.presets import preset


def test_settings_come_from_the_preset_of_the_world():
    asked = Run.parse(["--world", "Pendulum-v1"])
    assert asked.config == preset("Pendulum-v1")


def test_a_room_in_front_of_the_world_keeps_its_preset():
    asked = Run.parse(["robotics", "--world", "Hopper-v5", "--seed", "3"])
    assert asked.config.world == "robotics/Hopper-v5"
    assert asked.config.budget == preset("Hopper-v5").budget
    assert asked.config.seed == 3


def test_every_level_of_the_settings_is_a_flag():
    words = "--world Pendulum-v1 --budget.steps 70 --agent sac --collect.warmup 9 --model.width 17 --fit.batch=31"
    words += " --gate.limits.least_confidence 0.25 --value-gradient.horizon 4 --collect.horizon None"
    config = Run.parse(words.split()).config
    assert config.budget == {"steps": 70}
    assert (config.agent, config.collect.warmup, config.model.width, config.fit.batch) == ("sac", 9, 17, 31)
    assert config.gate.limits.least_confidence == 0.25
    assert config.value_gradient.horizon == 4
    assert config.collect.horizon is None


def test_a_budget_may_name_further_resources():
    config = Run.parse(["--world", "Pendulum-v1", "--budget.milliseconds", "900"]).config
    assert config.budget == {**preset("Pendulum-v1").budget, "milliseconds": 900}


@pytest.mark.parametrize("kind", ["yaml", "toml"])
def test_flags_go_over_the_file_and_the_file_over_the_preset(tmp_path, kind):
    path = tmp_path / f"my_run.{kind}"
    if kind == "yaml":
        path.write_text("world: Pendulum-v1\nseed: 5\nbudget: {milliseconds: 10}\ncollect: {warmup: 11, steps: 12}\n")
    else:
        path.write_text(
            'world = "Pendulum-v1"\nseed = 5\nbudget.milliseconds = 10\n[collect]\nwarmup = 11\nsteps = 12\n'
        )
    config = Run.parse([str(path), "--collect.steps", "13"]).config
    below = preset("Pendulum-v1")
    assert (config.world, config.seed, config.budget) == ("Pendulum-v1", 5, {"milliseconds": 10})
    assert (config.collect.warmup, config.collect.steps) == (11, 13)
    assert config.collect.horizon == below.collect.horizon
    assert config.model == below.model


def test_a_key_misspelt_in_a_file_is_told_with_the_nearest_one(tmp_path):
    path = tmp_path / "my_run.yaml"
    path.write_text("world: Pendulum-v1\ncollect: {warmpu: 11}\n")
    with pytest.raises(ConfigError, match=r"`collect\.warmpu` is not a setting.*`collect\.warmup`\?"):
        Run.parse([str(path)])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("world: [", "cannot be read"),
        ("just words", "holds no settings"),
        ("seed: 1", "names no world"),
        ("{world: Pendulum-v1, seed: one}", "wrong type"),
        ("{world: Pendulum-v1, seed: -1}", "negative"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path, content, says):
    path = tmp_path / "my_run.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        Run.parse([str(path)])


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        Run.parse([str(tmp_path / "none.toml")])


def test_misspelt_flags_are_told_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"`--collect\.warmpu`.*`--collect\.warmup`\?"):
        Run.parse(["--world", "Pendulum-v1", "--collect.warmpu", "3"])
    with pytest.raises(ConfigError, match=r"`--buget\.steps`.*`--budget\.steps`\?"):
        Run.parse(["--world", "Pendulum-v1", "--buget.steps", "3"])


def test_the_room_comes_first_and_a_world_must_be_named():
    with pytest.raises(ConfigError, match="comes first"):
        Run.parse(["--world", "Pendulum-v1", "robotics"])
    with pytest.raises(ConfigError, match="Which world"):
        Run.parse([])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--world", "Hoper-v5"], "Hopper-v5"),
        (["robotics", "--world", "Hoper-v5"], "Hoper"),
        (["--world", "Pendulum-v1", "--budget.steps", "0"], "above zero"),
        (["--world", "Pendulum-v1", "--budget.steps", "-3"], "-3"),
        (["--world", "tests.cli.worlds:Odd-v0"], "MultiDiscrete"),
    ],
)
def test_what_cannot_begin_leaves_no_folder_behind(gedanken, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    said = gedanken("run", *words, "--json")
    assert said.status == 2
    assert says in json.dumps(said.json["error"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list(tmp_path.glob("runs/*"))


def test_a_budget_of_what_the_world_does_not_charge_is_refused(gedanken, tmp_path, settings):
    said = gedanken("run", settings(budget={"stesp": 100}), "--out", tmp_path / "mine", "--json")
    assert said.status == 2
    assert "steps" in said.json["error"]["expected"]
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_is_in_use_is_refused(gedanken, tmp_path, settings):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    said = gedanken("run", settings(), "--out", full)
    assert said.status == 2
    assert "not empty" in said.err
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]
    assert gedanken("run", settings(), "--out", full / "thesis.txt").status == 2


def test_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(numbered("Pendulum-v1-seed0")) for _ in range(3)] == [
        "runs/Pendulum-v1-seed0-1",
        "runs/Pendulum-v1-seed0-2",
        "runs/Pendulum-v1-seed0-3",
    ]
    assert named_as_file("my.worlds:Arm-v0") == "my.worlds-Arm-v0"
    assert named_as_file("robotics/Hopper-v5") == "robotics-Hopper-v5"
