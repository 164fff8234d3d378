# `make bench` and `make test` are all a fresh machine needs; both make the virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: bench test lint docs clean

bench: $(STAMP)
	$(BIN)/python run_all.py

# Processes share the cores out: with a thread for every core each, they would slow each other down.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A broken link or an unknown reference is an error.
docs: $(STAMP) ## build the documentation as a site in build/site
	$(BIN)/python -m sphinx -E -q -W -n --keep-going -c docs -d build/doctrees . build/site

# Written last, so that an interrupted installation starts over.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
