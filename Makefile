# Needs Python 3.11 or newer with pip, and make.
PYTHON ?= python3
PORT ?= 8080
ADAPTERS ?= adapters
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-fast lint bench clean

setup: $(READY)

# The lower pip's noise, the easier it is to see what went wrong.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: setup
	$(BIN)/python -m hotswap.demo --port $(PORT) --adapters $(ADAPTERS)

test: setup lint
	$(BIN)/pytest

test-fast: setup lint
	$(BIN)/pytest -m 'not slow'

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
