# Everything runs as `.venv/bin/python -m …`: scripts in .venv/bin break in long paths and in paths
# with a space. Long runs are one `exec`, so that signals reach them and not a shell.
PY := .venv/bin/python
# Tests wait as much as they compute.
TESTERS := $(shell expr $$(nproc) \* 3 / 2)
BOOTSTRAP := @sh deploy/local/bootstrap.sh

.DEFAULT_GOAL := help
.PHONY: help up demo test lint format fuzz chaos bench load schema lock reset clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

up: ## Install, start servers and all apps, seed a demo; Ctrl-C stops everything
	$(BOOTSTRAP) requirements.lock
	@exec $(PY) -m deploy.local up

demo: ## Both money flows, told step by step on a stack of its own
	$(BOOTSTRAP) requirements.lock
	@exec $(PY) -m tests.acceptance

test: lint ## Lint, types, import contracts and all tests, on servers of their own
	@exec $(PY) -m pytest -q -n $(TESTERS) --dist worksteal -m "not chaos"

lint: ## Ruff, mypy --strict and the import contracts
	$(BOOTSTRAP) requirements-test.lock
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .
	$(PY) -c "from importlinter.cli import lint_imports_command as lint; lint()"

format: ## Put all files into the one format
	$(BOOTSTRAP) requirements-test.lock
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

fuzz: ## The API against its own document, and all properties, for longer than in the tests
	$(BOOTSTRAP) requirements-test.lock
	@STAMPGATE_TEST_EXAMPLES=$${STAMPGATE_TEST_EXAMPLES:-100} exec $(PY) -m pytest -q -n auto --timeout 0 -m hypothesis

chaos: ## The long kill battery; prints its seeds and a table
	$(BOOTSTRAP) requirements-test.lock
	@exec $(PY) -m pytest -q -s -m chaos --timeout 0

bench: ## Measure redirects and awards; prints a table
	$(BOOTSTRAP) requirements-load.lock
	@exec $(PY) -m loadtests.bench

load: ## Locust against the running stack for 60 s; prints its table
	$(BOOTSTRAP) requirements-load.lock
	@exec $(PY) -m loadtests.load

schema: ## Write db/schema.sql anew from the migrations
	$(BOOTSTRAP) requirements-test.lock
	@exec $(PY) -m deploy.schema

lock: ## Write the lock files anew with the newest versions
	$(BOOTSTRAP) requirements.lock
	@exec sh deploy/local/lock.sh $(PY)

reset: ## Remove the data of the local run
	$(BOOTSTRAP) requirements.lock
	@exec $(PY) -m deploy.local reset

clean: ## Remove .venv and all caches; the data of the local run stays
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
