# The club's service: `make run` and `make test` need Python 3.11 or later, and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
ARGS ?=

bin := .venv/bin

lock_options := pyproject.toml --quiet --no-config --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-annotate --custom-compile-command 'make lock'

# Faust asks for an older one than all others do, and uses nothing of it where it has no web.
newer_click := click>=8.5

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

# As root, Postgres runs under another account, which has to be able to read its programs.
readable := umask 022 &&

# At a terminal, pip shows how far it is.
quiet := $$(test -t 2 || echo --quiet --quiet)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run stack test faults check bench chain docs lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready ## Run the whole service on this machine (ARGS= for `club run`)
	@exec $(bin)/club run $(ARGS)

stack: .venv/ready $(and $(findstring --chain,$(ARGS)),.venv/ready-chain) ## Run every part as a process of its own, with RabbitMQ, Redis and Celery
	@exec $(bin)/club stack $(ARGS)

test: .venv/ready-dev ## Run the test suite (ARGS= for pytest)
	@$(bin)/pytest --numprocesses 2 --dist loadfile $(ARGS)

faults: .venv/ready-dev ## Kill, freeze and cut off everything under a load (ARGS= for the load)
	@$(bin)/python -m tests.faults $(ARGS)

check: .venv/ready-dev ## Check format, lint, types and the direction of imports
	@$(bin)/ruff format --check --quiet .
	@$(bin)/ruff check --quiet .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

bench: .venv/ready-dev ## Run the benchmarks, each figure beside something of the same run
	@$(bin)/python -m tests.benchmarks $(ARGS)

chain: .venv/ready-chain ## Install what a chain of clubs needs, for `club publish` and `club stream`

docs: .venv/ready ## Write docs/asyncapi.md anew from the messages' own models
	@$(bin)/club docs --write docs/asyncapi.md

lock: .venv/ready-dev ## Pin the newest releases that pyproject.toml allows
	@$(bin)/uv pip compile $(lock_options) --group build --output-file requirements.lock
	@echo '$(newer_click)' | $(bin)/uv pip compile $(lock_options) --group build --extra chain \
		--constraints requirements.lock --overrides /dev/stdin --output-file requirements-chain.lock
	@$(bin)/uv pip compile $(subst pyproject.toml,,$(lock_options)) --group broker \
		--output-file requirements-broker.lock
	@$(bin)/uv pip compile $(lock_options) --group build --group dev \
		--constraints requirements-chain.lock --output-file requirements-dev.lock

clean: ## Remove .venv and all caches; the club's data in .club stay
	@rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or later is needed, and $(PYTHON) is not that: make PYTHON=/path/to/python3.11"; \
		exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version): some seconds, this once"
	@$(readable) $(PYTHON) -m venv --clear .venv
	@touch $@

.venv/ready: .venv/made requirements.lock pyproject.toml
	@echo "Installing what the service needs, $$(grep -c == requirements.lock) packages: a minute or two, this once"
	@$(readable) $(bin)/pip install $(quiet) --require-hashes --requirement requirements.lock
	@echo "Installing the service itself: some seconds"
	@$(readable) $(bin)/pip install $(quiet) --no-deps --no-build-isolation --editable .
	@touch $@

# Locks are complete, so nothing is looked for beside them: Faust's own wish for click is not heard.
.venv/ready-chain: .venv/ready requirements-chain.lock requirements-broker.lock
	@echo "Installing what a chain of clubs needs: a minute, this once"
	@$(readable) $(bin)/pip install $(quiet) --no-deps --require-hashes --requirement requirements-chain.lock
	@$(readable) $(bin)/pip install $(quiet) --no-deps --require-hashes --requirement requirements-broker.lock
	@touch $@

.venv/ready-dev: .venv/ready-chain requirements-dev.lock
	@echo "Installing what tests and checks need: a minute or two, this once"
	@$(readable) $(bin)/pip install $(quiet) --no-deps --require-hashes --requirement requirements-dev.lock
	@touch $@
