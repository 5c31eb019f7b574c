# Every target works in .venv and can be run alone; stamps in .venv make a second run of an install take no time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)
PIP_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install $(PIP_ARGS)
# At most 4: each worker holds its own JAX, and more only helps where there is memory for them.
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 4
MANIFESTS := pyproject.toml constraints.txt

.PHONY: help
help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

# --- Installing -----------------------------------------------------------------------------------------------------

.PHONY: install install-dev
install: $(VENV)/.installed-core  ## .venv with what a user needs, in the locked versions
install-dev: $(VENV)/.installed-dev  ## the same with what tests and checks need

$(VENV)/pyvenv.cfg:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python of version 3.11 or newer was found." >&2; \
		echo "Do: install one (apt install python3.11-venv, brew install python@3.11, uv python install 3.11)," >&2; \
		echo "    or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module." >&2; \
		echo "Do: apt install python3-venv, or name another: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
		rm -rf $(VENV); exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed-core: $(VENV)/pyvenv.cfg $(MANIFESTS)
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/pyvenv.cfg $(MANIFESTS)
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed-core $@

# The peers that benchmarks compare with, in environments of their own (about 1.8 GB each). mbrl-lib's pins contradict
# what it needs on Python 3.11, so its file lists all of its packages.
.PHONY: install-peers
install-peers: .venv-peers/.installed .venv-mbrl/.installed  ## .venv-peers and .venv-mbrl, for the benchmarks

.PHONY: install-peers-science
install-peers-science: .venv-science/.installed  ## .venv-science with BoTorch and BayBE, for their benchmark

PEER_PIP = "$(@D)/bin/python" -m pip --disable-pip-version-check -q install $(PIP_ARGS)
.venv-peers/.installed: constraints-benchmarks.txt pyproject.toml | $(VENV)/pyvenv.cfg
	"$(PYTHON)" -m venv $(@D)
	$(PEER_PIP) -c constraints-benchmarks.txt torch
	$(PEER_PIP) -c constraints-benchmarks.txt -e '.[dev,benchmarks]'
	@touch $@

.venv-mbrl/.installed: benchmarks/peers/mbrl.txt | $(VENV)/pyvenv.cfg
	"$(PYTHON)" -m venv $(@D)
	$(PEER_PIP) -c benchmarks/peers/mbrl.txt torch
	$(PEER_PIP) --no-deps -r benchmarks/peers/mbrl.txt
	@touch $@

.venv-science/.installed: benchmarks/peers/science.txt | $(VENV)/pyvenv.cfg
	"$(PYTHON)" -m venv $(@D)
	$(PEER_PIP) -c benchmarks/peers/science.txt torch
	$(PEER_PIP) -r benchmarks/peers/science.txt
	@touch $@

# --- Using it -------------------------------------------------------------------------------------------------------

.PHONY: quickstart
quickstart: install  ## install, then rehearse two robots; the report's path is printed
	$(BIN)/gedanken quickstart

# --- Checking it ----------------------------------------------------------------------------------------------------

.PHONY: test test-peers check format
test: install-dev  ## all tests: the fast ones, then the slow ones
	$(PYTEST) -m "not slow"
	$(PYTEST) -m slow

test-peers: install-peers  ## the tests that need Stable-Baselines3
	.venv-peers/bin/python -m pytest -q -m peers

check: install-dev  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.readme --check

format: install-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --- Measuring it ---------------------------------------------------------------------------------------------------

# One thread for each seed, as many seeds at a time as PARALLEL says (at most one a core).
PARALLEL ?= 1
SEEDS ?= 0 1 2
MEASURE := $(BIN)/python -m
CURVE = $(MEASURE) benchmarks.peer_$(1) curve --seeds $(SEEDS) --parallel $(PARALLEL)

.PHONY: bench bench-own bench-peers tables report
bench: bench-own bench-peers tables  ## all benchmarks, about a day on one core, and the tables made of them

OURS = $(MEASURE) benchmarks.learning --seeds $(SEEDS) --parallel $(PARALLEL)
bench-own: install-dev install-peers  ## Gedanken's own, and what is timed beside a peer in one run
	$(MEASURE) benchmarks.throughput
	$(MEASURE) benchmarks.ledger
	$(MEASURE) benchmarks.experience
	$(MEASURE) benchmarks.evidence_speed
	$(MEASURE) benchmarks.science --parallel $(PARALLEL)
	$(MEASURE) benchmarks.science_transfer --parallel $(PARALLEL)
	$(MEASURE) benchmarks.science_money
	$(MEASURE) benchmarks.process_control --seeds $(SEEDS)
	$(BIN)/python tools/ml_attempts.py --group held-out --out held_out_attempts.parquet --workers $(PARALLEL)
	$(MEASURE) benchmarks.ml_foretelling --attempts held_out_attempts.parquet
	$(MEASURE) benchmarks.ml_duration
	$(MEASURE) benchmarks.ml_dream
	.venv-peers/bin/python -m benchmarks.ml_compute
	$(MEASURE) benchmarks.evidence_coverage
	$(MEASURE) benchmarks.evidence_selection
	$(MEASURE) benchmarks.evidence_ranking --world InvertedPendulum-v5 --seeds $(SEEDS)
	$(MEASURE) benchmarks.evidence_ranking --world Pendulum-v1 --seeds $(SEEDS)
	$(MEASURE) benchmarks.evidence_ranking --world Hopper-v5 --steps 10000 --seeds $(SEEDS)
	$(MEASURE) benchmarks.evidence_anchors --seeds $(SEEDS)
	$(OURS) --world InvertedPendulum-v5 --steps 1500
	$(OURS) --world Pendulum-v1 --steps 2000
	$(OURS) --world InvertedPendulum-v5 --steps 1500 --agent sac
	$(OURS) --world Pendulum-v1 --steps 2000 --agent sac
	$(OURS) --world Hopper-v5 --steps 50000
	$(OURS) --world HalfCheetah-v5 --steps 50000

bench-peers: install-dev install-peers install-peers-science  ## the peers alone: Stable-Baselines3, mbrl-lib, BoTorch
	PYTHONPATH=src .venv-science/bin/python -m benchmarks.peer_science
	$(MEASURE) benchmarks.peer_sb3 updates
	$(call CURVE,mbrl) --world InvertedPendulum-v5
	$(call CURVE,mbrl) --world Pendulum-v1
	$(call CURVE,sb3) --world InvertedPendulum-v5 --steps 20000 --every 500
	$(call CURVE,sb3) --world Pendulum-v1 --steps 20000
	$(call CURVE,sb3) --world Pendulum-v1 --steps 20000 --variant zoo
	$(call CURVE,sb3) --world Hopper-v5 --every 2500
	$(call CURVE,sb3) --world HalfCheetah-v5 --every 2500

tables: install-dev  ## the tables of README.md and docs/, and what reports compare with, from benchmarks/results/
	$(BIN)/python -m benchmarks.readme
	$(BIN)/python -m benchmarks.reference

report: install  ## the report of one run: make report RUN=runs/...
	@test -n "$(RUN)" || { echo "Do: make report RUN=path/to/a/run/folder" >&2; exit 1; }
	$(BIN)/gedanken report "$(RUN)"

# --- Releasing it ---------------------------------------------------------------------------------------------------

# The newest versions that pyproject.toml allows, found in fresh environments. The exact build (+cpu, +cu126) of a
# version is left to whoever installs, and so is where it comes from. Afterwards: make test check, then commit.
LOCK := set -euo pipefail; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; "$(PYTHON)" -m venv "$$fresh"; \
	freeze() { "$$fresh/bin/pip" freeze --exclude gedanken --exclude-editable \
		| sed -E 's/ @ .*//; s/\+[a-z0-9.]+$$//' | grep == ; }; \
	install() { "$$fresh/bin/python" -m pip --disable-pip-version-check -q install $(PIP_ARGS) "$$@"; }
HEADER := \# Locked versions, made by `make lock`; edit pyproject.toml instead.

.PHONY: lock
lock:  ## write constraints.txt and constraints-benchmarks.txt anew
	$(LOCK); install '.[dev]'; { echo '$(HEADER)'; freeze; } > constraints.txt
	$(LOCK); install -c constraints.txt 'torch==2.13.0'; install -c constraints.txt '.[dev,benchmarks]'; \
		{ echo '$(HEADER)'; freeze; } > constraints-benchmarks.txt

.PHONY: clean
clean:  ## remove environments, caches and build products; runs/ stays
	rm -rf $(VENV) .venv-peers .venv-mbrl .venv-science build dist .jax_cache .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
