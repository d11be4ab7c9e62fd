# Two words are enough: `make run` makes pictures, `make test` proves the rest. Each sets up what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
PIP_FLAGS ?=
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2

.PHONY: help setup run test chaos check format bench recipes docs soat card clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY)  ## a virtual environment in .venv, pinned by constraints.txt

# The stamp makes every later `make` instant until a dependency changes.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (set PYTHON=...)" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev,faces]'
	@touch $@

run: $(READY)  ## the quickstart: portraits in, edited portraits and a report in out/quickstart
	$(BIN)/python run_workflow.py workflows/quickstart.yaml

test: $(READY)  ## the whole suite
	$(BIN)/python -m pytest -q -n $(JOBS)

chaos: $(READY)  ## kill, stop and damage whatever can be, 220 times; a quarter of an hour and more
	OMP_NUM_THREADS=1 $$(unshare -rm true 2>/dev/null && echo unshare -rm) $(BIN)/python -m tests.chaos.campaign --events 220

check: $(READY)  ## style, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)  ## let ruff tidy
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(READY)  ## one JSON line per figure
	@for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

recipes: $(READY)  ## every workflow in full
	@for file in workflows/*.yaml; do $(BIN)/python run_workflow.py $$file || exit 1; done

docs: $(READY)  ## docs/ops.md, docs/cli.md, the map in docs/architecture.md and lists in docs/models.md
	$(BIN)/python docs/make.py

soat: $(READY)  ## measure what docs/soat.md tells, and make its pictures and tables anew
	$(BIN)/python docs/remake.py

card: $(READY)  ## measure the models that ship, and write docs/models.md and its pictures from them
	$(BIN)/python benchmarks/models.py
	$(BIN)/python -m models.training.card

clean:  ## everything that can be made again, except .venv
	rm -rf out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
