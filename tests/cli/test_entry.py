import json
import subprocess
import sys

import pytest

import gedanken as package
from gedanken.cli.entry import COMMANDS
from gedanken.errors import ConfigError


def test_the_overview_lists_every_command_and_an_example(gedanken):
    said = gedanken("--help")
    assert said.status == 0
    assert all(name in said.out for name in COMMANDS)
    assert "Example: gedanken run" in said.out
    assert gedanken().out == said.out


def test_commands_and_version_are_there_as_json(gedanken):
    assert gedanken("--json").json.keys() == COMMANDS.keys()
    assert gedanken("--version", "--json").json == {"version": package.__version__}
    assert gedanken("--version").out.strip() == package.__version__


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_its_flags(gedanken, command):
    said = gedanken(command, "--help")
    assert said.status == 0
    assert f"Example: gedanken {command}" in said.out
    for flag in ("--json", "--threads", "--debug", "--progress"):
        assert flag in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_a_misspelt_flag_and_the_nearest_one(gedanken, command, tmp_path):
    words = {"run": ["--world", "Pendulum-v1"], "collect": ["--world", "Pendulum-v1"]}
    given = words.get(command, [] if command in ("quickstart", "doctor") else [tmp_path])
    said = gedanken(command, *given, "--thread", "2", "--json")
    assert said.status == ConfigError.exit_code
    error = said.json["error"]
    assert error["kind"] == "ConfigError"
    assert "--threads" in error["expected"]


def test_a_misspelt_command_is_told_with_the_nearest_one(gedanken):
    said = gedanken("colect")
    assert said.status == 2
    assert "`collect`?" in said.err
    assert said.out == ""


@pytest.mark.parametrize("threads", ["0", "-1", "two", ""])
def test_threads_must_be_a_whole_number(gedanken, threads):
    said = gedanken("doctor", f"--threads={threads}")
    assert said.status == 2
    assert "--threads" in said.err


def test_a_wrong_value_is_told_without_a_frame(gedanken):
    said = gedanken("run", "--world", "Pendulum-v1", "--seed", "x", "--json")
    assert said.status == 2
    assert "seed" in said.json["error"]["given"].lower()
    assert "│" not in said.json["error"]["given"]


def test_errors_are_a_block_without_a_traceback_unless_asked_for(gedanken, tmp_path):
    said = gedanken("resume", tmp_path)
    assert said.status == 7
    assert said.err.startswith("Error: This folder holds no run.\n  given:")
    assert "Traceback" not in said.err
    assert "Traceback" in gedanken("resume", tmp_path, "--debug").err


def test_the_help_does_not_load_what_is_heavy():
    code = (
        "import sys; from gedanken.cli import main; main(['--help']); "
        "heavy = {'jax', 'numpy', 'gymnasium', 'duckdb', 'tyro', 'rich'} & set(sys.modules); "
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_threads_are_set_before_jax_is_loaded():
    code = (
        "import os, sys; from gedanken.cli import entry\n"
        "def stop(name):\n"
        "    assert 'jax' not in sys.modules and 'numpy' not in sys.modules\n"
        "    print({k: os.environ[k] for k in ('OMP_NUM_THREADS', 'NPROC', 'XLA_FLAGS')}); raise KeyboardInterrupt\n"
        "entry.import_module = stop\n"
        "sys.exit(entry.main(['doctor', *sys.argv[1:]]))"
    )

    def told(*words: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 130, done.stderr
        return done.stdout

    assert "'NPROC': '1'" in told()
    assert "multi_thread_eigen=false" in told()
    assert "'OMP_NUM_THREADS': '2'" in told("--threads", "2")
    assert "multi_thread_eigen=false" not in told("--threads", "2")


def test_an_error_nobody_foresaw_is_a_block_too():
    code = (
        "import sys; from gedanken.cli import entry\n"
        "def broken(name): raise ZeroDivisionError('by zero')\n"
        "entry.import_module = broken\n"
        "sys.argv = ['gedanken', *sys.argv[1:]]\n"
        "sys.exit(entry.main())"
    )

    def told(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)

    plain = told("doctor")
    assert plain.returncode == 1
    assert "Traceback" not in plain.stderr
    assert "by zero" in plain.stderr
    assert json.loads(told("doctor", "--json").stdout)["error"]["kind"] == "ZeroDivisionError"
    assert "Traceback" in told("doctor", "--debug").stderr


def test_every_public_name_is_there():
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'Wrold'"):
        _ = package.Wrold
