# For a fresh machine: `make demo`, `make check` and `make test`. They make the environment once and reuse it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

JOBS := 2
PYTEST = $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal

.PHONY: demo check test lint lowest bench samples pictures clean

demo: $(READY)
	$(BIN)/neurockt demo
	$(BIN)/neurockt ls
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/neurockt view; fi

# Lint, types, contracts and the fast tests: under a minute.
check: lint
	$(PYTEST) -m 'not slow'

test: lint
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The fast tests of what works without torch, with the lowest versions that pyproject.toml allows.
lowest: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .lowest
	$(BIN)/uv pip install --quiet --python .lowest --resolution lowest-direct '.[viewer,wandb,system]'
	$(BIN)/uv pip freeze --quiet --python .lowest --exclude neurockt > .lowest/constraints.txt
	$(BIN)/uv pip install --quiet --python .lowest --constraint .lowest/constraints.txt \
		$$(grep -E '^(pytest|hypothesis|pyte|omegaconf)' tests/requirements.txt) packaging
	.lowest/bin/pytest -m 'not slow' $(WITHOUT_TORCH)

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
	rm -rf $(VENV) .lowest
