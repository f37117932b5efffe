# Two commands: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DB ?= runs.db
SERVE ?= 1

.PHONY: demo test check bench setup clean

demo: setup
	$(BIN)/collectors profile --prompt 3 --kernels baseline --label baseline --db $(DB)
	$(BIN)/collectors baseline latest --db $(DB)
	$(BIN)/collectors profile --prompt 3 --kernels tuned --label tuned --db $(DB)
	$(BIN)/collectors compare baseline latest --db $(DB)
	$(BIN)/collectors fidelity --db $(DB)
	@if [ "$(SERVE)" != 0 ]; then $(BIN)/collectors app --db $(DB); fi

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with PYTHON=python3.x.")'
	@test -x $(BIN)/python || { echo "Setting up $(VENV) (once, a few minutes)"; $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info test-output
