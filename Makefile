# `make bench` and `make test` are all a fresh machine needs; both make the virtual environment first, `bench` with what
# the suites need, all others with what tests and tools need as well.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUITES := $(VENV)/.installed-suites
STAMP := $(VENV)/.installed-dev

# File by file in the order of tests/conftest.py, the slow ones first.
SHARED_OUT := -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Containers often say that nothing compiled be kept: each of the processes that tests start would compile again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help bench test quick explore fuzz lint docs clean
.DEFAULT_GOAL := help

help: ## say what there is to make
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

bench: $(SUITES) ## install into .venv and run the embedded default suite
	$(BIN)/python run_all.py

# Processes share the cores out: with a thread for every core each, they would slow each other down.
test: $(STAMP) ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED_OUT)

# What is marked slow trains networks, starts processes, measures suites or tries everything that ships.
quick: $(STAMP) ## run the tests that take no more than a moment each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED_OUT) -m "not slow"

# `make test` tries the same examples each time, so that a change is judged by what it changes alone.
explore: $(STAMP) ## run the tests of properties on examples that no run has tried
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED_OUT) -m hypothesis --hypothesis-profile explore

# Each minute tries some thousands of changed files; other minutes come with another --seed.
fuzz: $(STAMP) ## read changed files for five minutes, and print those that are not refused in a sentence
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seconds 300 --seed 0

lint: $(STAMP) ## check style, types and the layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A broken link or an unknown reference is an error.
docs: $(STAMP) ## build the documentation as a site in build/site
	$(BIN)/python -m sphinx -E -q -W -n --keep-going -c docs -d build/doctrees . build/site

$(SUITES): EXTRA := report
$(STAMP): EXTRA := dev
# Written last, so that an interrupted installation starts over. Python compiles what is imported, which is the lesser
# part of the packages.
$(SUITES) $(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[$(EXTRA)]'
	touch $@

clean: ## remove the environment and caches
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
