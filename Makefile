# Two commands for a fresh machine: `make demo` and `make test`. Both make the environment once and reuse it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench samples pictures clean

demo: $(READY)
	$(BIN)/neurockt demo
	$(BIN)/neurockt ls
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/neurockt view; fi

test: lint
	$(BIN)/pytest

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

samples: $(READY)
	$(BIN)/python sample_runs/make.py

# The pictures of the viewer in the README.
pictures: $(READY)
	$(BIN)/python viewer/screenshot.py

# torch comes first and pinned, so that a machine without a GPU gets the CPU build.
$(READY): pyproject.toml tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[all]'
	touch $@

clean:
	rm -rf $(VENV)
