import pytest

from gedanken.cli import doctor
from gedanken.cli.doctor import Finding


def test_a_sound_installation_is_told_so(gedanken):
    said = gedanken("doctor", "--json")
    assert said.status == 0
    assert said.json["healthy"] is True
    found = {each["name"]: each for each in said.json["findings"]}
    for name in ("Python", "jax", "gymnasium", "tyro", "cores", "jax devices", "MuJoCo", "disk", "[gpu]", "bwrap"):
        assert name in found
    assert "fsync" in found["disk"]["found"]
    assert "cpu" in found["jax devices"]["found"]
    assert "Nothing that is needed is missing." in gedanken("doctor").out


def test_what_is_missing_is_told_with_how_to_get_it(gedanken, monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy>=2", "no-such-thing>=1", "other; extra == 'dev'"])
    said = gedanken("doctor", "--json")
    assert said.status == 1
    (lost,) = [each for each in said.json["findings"] if each["state"] == "missing"]
    assert lost == {
        "name": "no-such-thing",
        "state": "missing",
        "found": "not installed",
        "do": "pip install 'no-such-thing>=1'",
    }
    plain = gedanken("doctor")
    assert plain.status == 1
    assert "Missing: no-such-thing." in plain.out


@pytest.mark.parametrize("error", [ImportError("no libGL"), RuntimeError("no devices"), OSError("no file")])
def test_a_part_that_does_not_work_is_missing(error):
    def look():
        raise error
        yield

    assert doctor._asked("MuJoCo", look) == [
        Finding("MuJoCo", "missing", str(error), "make install, or pip install -e . again.")
    ]


def test_extras_that_are_not_installed_are_optional(monkeypatch):
    class Metadata:
        def get_all(self, _):
            return ["gpu", "sandbox"]

    monkeypatch.setattr(doctor, "metadata", lambda _: Metadata())
    monkeypatch.setattr(
        doctor, "requires", lambda _: ["jax[cuda99]==0.1; extra == 'gpu'", 'numpy>=2; extra == "sandbox"']
    )
    gpu, sandbox = doctor._extras()
    assert gpu == Finding("[gpu]", "optional", "without jax-cuda99-plugin", "pip install 'gedanken[gpu]'")
    assert sandbox.state == "ok"
