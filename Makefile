# For a fresh machine: `make demo`, `make check` and `make test`. They make the environment once and reuse it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRAMEWORKS := $(VENV)/.frameworks

# One more than this machine has cores: some tests wait.
JOBS := 3

# Python keeps what it compiles, each module as it is first imported: the hundreds of processes that tests start read it.
# So pip need not compile the thousands of modules that nothing imports.
unexport PYTHONDONTWRITEBYTECODE
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
UV = $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
NEEDED := -r tests/requirements.txt -e '.[all]'

.PHONY: demo check test adapters search lint pytest lowest bench samples pictures api clean

demo: $(READY)
	$(BIN)/neurockt demo
	$(BIN)/neurockt ls
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/neurockt view; fi

# Lint and tests at the same time: the tests leave the processors some time.
TESTED = $(MAKE) --no-print-directory --jobs 2 lint pytest

# The quick half: under a minute.
check: $(READY)
	$(TESTED) TESTS="-m 'not slow'"

test: $(READY)
	$(TESTED)

# The tests of the adapters, with the frameworks, which take minutes to install. `make test` skips them without.
adapters: $(FRAMEWORKS)
	$(TESTED) TESTS=tests/integrations

pytest: $(READY)
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal $(TESTS)

# The property tests, with examples that no run has tried yet, again and again until one fails.
search: $(READY)
	while $(BIN)/pytest --numprocesses $(JOBS) -m hypothesis --hypothesis-profile search $(TESTS); do :; done; false

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The fast tests of what needs no torch, with the lowest versions that pyproject.toml allows.
LOWEST := .lowest/bin/python
EXTRAS := viewer,wandb,system,import,sql,report
lowest: $(READY)
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .lowest
	$(BIN)/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct -e '.[$(EXTRAS)]'
	$(BIN)/uv pip freeze --python $(LOWEST) --exclude-editable > .lowest/constraints.txt
	grep -E '^(pytest|hypothesis|pyte=|omegaconf|tomli)' tests/requirements.txt > .lowest/tools.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST) --constraint .lowest/constraints.txt -r .lowest/tools.txt packaging
	cat .lowest/constraints.txt
	$(LOWEST) -m pytest --numprocesses $(JOBS) -m 'not slow' tests/cli tests/store tests/viewer tests/test_testing.py \
		--ignore tests/store/test_other_readers.py --ignore tests/store/test_json_values.py

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

samples: $(READY)
	$(BIN)/python sample_runs/make.py

# The pictures of the README.
pictures: $(READY)
	$(BIN)/python viewer/screenshot.py

# neurockt/API.md, from the docstrings.
api: $(READY)
	$(BIN)/python tests/api_page.py > neurockt/API.md

# torch comes first and pinned, so that a machine without a GPU gets the CPU build, and by pip, whose configuration may
# say where that is. uv installs the rest in a tenth of pip's time; pip does where uv finds no index.
$(READY): pyproject.toml tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) uv $$(grep ^torch= tests/requirements.txt)
	$(UV) $(NEEDED) || $(PIP) $(NEEDED)
	touch $@

$(FRAMEWORKS): $(READY) tests/requirements-frameworks.txt
	$(UV) -r tests/requirements-frameworks.txt
	touch $@

clean:
	rm -rf $(VENV) .lowest
