# Needs make and Python 3.11 or newer with venv. Everything else is installed into .venv
# from .ci/requirements.lock, which pins every package by version and hash.

MAKEFLAGS += --no-print-directory
# Each test worker would compile all tests again where nobody may keep what was compiled.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help

# Choose an interpreter with: make PYTHON=/path/to/python3.12
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3.14 python3 python)
SUPPORTED := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

VENV := .venv
BIN := $(VENV)/bin
LOCK := .ci/requirements.lock
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# LocalStack, a stricter S3 for the tests, needs other releases of much that is in .venv.
LOCALSTACK_VENV := .venv-localstack
LOCALSTACK_CANDIDATES := $(PYTHON) python3.11 python3.12 python3.13 python3
LOCALSTACK_SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
LOCALSTACK_LOCK := .ci/localstack.lock
LOCALSTACK_LOCKED := $(LOCALSTACK_VENV)/.locked

# The tools that the benchmark compares with, so that none of their packages meets this tool's.
BENCH_VENV := .venv-bench
BENCH_LOCK := .ci/bench.lock
BENCH_LOCKED := $(BENCH_VENV)/.locked

# What drives a browser, on top of what is in .venv.
BROWSER_LOCK := .ci/browser.lock
BROWSER_LOCKED := $(VENV)/.browser

PYTEST_ARGS ?=
# Two for each core: a third of the time, tests wait for what they have broken.
TEST_WORKERS ?= $(shell $(BIN)/python -c 'import os; print(2 * len(os.sched_getaffinity(0)))' 2>/dev/null || echo auto)
BENCH_ARGS ?=
FIGURES ?=
LOCK_ARGS ?=

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(INSTALLED) ## a tour of the commands against a throw-away S3 on this machine
	@PATH="$(CURDIR)/$(BIN):$$PATH" orchestrator sandbox -- bash .ci/demo.sh

.PHONY: test
test: $(INSTALLED) ## run the tests (PYTEST_ARGS="-k upload" to choose)
	$(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal -m "not localstack and not browser" $(PYTEST_ARGS)

.PHONY: test-localstack
test-localstack: $(INSTALLED) $(LOCALSTACK_LOCKED) ## run the tests that need a stricter S3: LocalStack's, installed apart
	$(BIN)/pytest tests/localstack -m localstack $(PYTEST_ARGS)

.PHONY: test-browser
test-browser: $(INSTALLED) $(BROWSER_LOCKED) ## run the tests of the web pages in Chromium: apt-get install chromium
	$(BIN)/pytest tests/browser -m browser -n 2 $(PYTEST_ARGS)

.PHONY: bench-pages
bench-pages: $(INSTALLED) $(BROWSER_LOCKED) ## measure the web pages on large buckets, in Chromium
	@$(BIN)/python -m tests.browser.targets

.PHONY: bench
bench: $(INSTALLED) $(BENCH_LOCKED) ## measure beside awscli, s5cmd, rclone, boto3 (BENCH_ARGS=--help for more); needs nginx
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

.PHONY: bench-page
bench-page: $(INSTALLED) ## write the page and chart of benchmarks: FIGURES=F of make bench BENCH_ARGS="--json F"
	@test -n "$(FIGURES)" || { echo 'error: name the file: make bench-page FIGURES=figures.json' >&2; exit 2; }
	cp "$(FIGURES)" orchestrator_cli/docgen/text/benchmarks.json
	$(BIN)/python -m orchestrator_cli.docgen

.PHONY: check
check: $(INSTALLED) ## formatting, lint, types, module boundaries, generated files
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m orchestrator_cli.docgen --check

.PHONY: format
format: $(INSTALLED) ## format the code and apply safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: docs
docs: $(INSTALLED) ## write man/ and completions/
	$(BIN)/python -m orchestrator_cli.docgen

.PHONY: tour
tour: $(INSTALLED) ## draw the picture in README.md, from a real terminal
	@PATH="$(CURDIR)/$(BIN):$$PATH" orchestrator sandbox -- \
	  $(CURDIR)/$(BIN)/python -m orchestrator_cli.docgen.picture bash .ci/tour.sh > man/tour.svg.new
	@mv man/tour.svg.new man/tour.svg

.PHONY: pictures
pictures: $(INSTALLED) $(BROWSER_LOCKED) ## take the pictures of pages in README.md, of the data of the demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" orchestrator sandbox -- \
	  bash -c 'bash .ci/demo.sh </dev/null >/dev/null && python .ci/pictures.py man'

.PHONY: build
build: $(INSTALLED) ## build the source distribution and the wheel into dist/
	$(BIN)/hatchling build

.PHONY: lock
lock: $(VENV)/pyvenv.cfg ## resolve the lock again (LOCK_ARGS=--upgrade for newer releases)
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --python-version 3.11 \
	  --universal --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet --output-file $(LOCK) $(LOCK_ARGS)
	$(BIN)/uv pip compile --group localstack --python-version 3.11 \
	  --universal --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet --output-file $(LOCALSTACK_LOCK) $(LOCK_ARGS)

	$(BIN)/uv pip compile --group browser --python-version 3.11 --constraint $(LOCK) \
	  --universal --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet --output-file $(BROWSER_LOCK) $(LOCK_ARGS)
	$(BIN)/uv pip compile --group bench --python-version 3.11 \
	  --universal --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet --output-file $(BENCH_LOCK) $(LOCK_ARGS)

.PHONY: clean
clean: ## remove everything that was installed, built or cached
	rm -rf $(VENV) $(LOCALSTACK_VENV) $(BENCH_VENV) dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find orchestrator_cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@for candidate in $(CANDIDATES); do \
	  if "$$candidate" -c '$(SUPPORTED)' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$candidate"; \
	    exec "$$candidate" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "error: need Python 3.11 or newer with venv (tried: $(CANDIDATES)); set PYTHON=/path/to/python" >&2; \
	exit 1

$(LOCKED): $(LOCK) | $(VENV)/pyvenv.cfg
	@echo "installing $(LOCK)"
	@$(PIP) install --require-hashes --requirement $(LOCK)
	@touch $@

$(INSTALLED): pyproject.toml orchestrator_cli/__init__.py $(LOCKED)
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(BROWSER_LOCKED): $(BROWSER_LOCK) | $(INSTALLED)
	@echo "installing $(BROWSER_LOCK)"
	@$(PIP) install --require-hashes --requirement $(BROWSER_LOCK)
	@touch $@

$(BENCH_LOCKED): $(BENCH_LOCK) | $(VENV)/pyvenv.cfg
	@echo "installing $(BENCH_LOCK) into $(BENCH_VENV)"
	@$(BIN)/python -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check --quiet \
	  install --require-hashes --requirement $(BENCH_LOCK)
	@touch $@

$(LOCALSTACK_LOCKED): $(LOCALSTACK_LOCK)
	@for candidate in $(LOCALSTACK_CANDIDATES); do \
	  if "$$candidate" -c '$(LOCALSTACK_SUPPORTED)' >/dev/null 2>&1; then \
	    echo "making $(LOCALSTACK_VENV) with $$candidate from $(LOCALSTACK_LOCK)"; \
	    "$$candidate" -m venv --clear $(LOCALSTACK_VENV) && \
	    $(LOCALSTACK_VENV)/bin/python -m pip --disable-pip-version-check --quiet \
	      install --require-hashes --requirement $(LOCALSTACK_LOCK) && \
	    touch $@; exit; \
	  fi; \
	done; \
	echo "note: LocalStack needs Python 3.11 to 3.13; its tests are skipped" >&2
