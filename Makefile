# Needs Python 3.11 or newer with pip, and make.
PYTHON ?= python3
PORT ?= 8080
ADAPTERS ?= adapters
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: setup constraints demo test test-fast lint bench clean

setup: $(READY)

# The lower pip's noise, the easier it is to see what went wrong.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint constraints.txt --editable '.[test]'
	touch $@

# The newest releases within pyproject.toml's ranges, as the next constraints.
constraints: setup
	$(INSTALL) --upgrade --upgrade-strategy eager --editable '.[test]'
	{ grep '^#' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt

demo: setup
	$(BIN)/python -m hotswap.demo --port $(PORT) --adapters $(ADAPTERS)

# A file stays in one process: its tests share a server, or what was computed once.
TWO := -n 2 --dist loadfile

# The last ones one by one: some measure time, some need both cores.
test: setup lint
	$(BIN)/pytest -m 'not slow' $(TWO) --cov --cov-report= --cov-fail-under=95
	$(BIN)/pytest -m slow $(TWO) tests/hotswap tests/scheduler
	$(BIN)/pytest -m slow tests/live tests/benchmarks

test-fast: setup lint
	$(BIN)/pytest -m 'not slow' $(TWO)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.swap
	$(BIN)/python -m benchmarks.modes
	$(BIN)/python -m benchmarks.agreement

clean:
	rm -rf $(VENV) build *.egg-info
