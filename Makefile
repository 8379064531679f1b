# What a fresh machine needs: Python 3.11 or later, and make. `make demo` and `make test` do the rest.
PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
INSTALL := $(PIP) install --require-hashes
MOST := tests/simulation tests/crashes tests/integration/test_worker_leaves.py tests/integration tests/unit
ACCEPTANCE := tests/acceptance/test_chaos.py tests/acceptance/test_survives.py tests/acceptance
PROCESSES := $$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade --quiet

# A choice made by ARGS may leave one of the two parts of the tests empty, which pytest says by 5.
NONE_CHOSEN := { code=$$?; [ $$code -eq 5 ] && [ -n "$(ARGS)" ] || exit $$code; }

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up test check bench chaos lock simulate

help:
	@echo "make demo    the whole fleet on this machine, the main job on real input, the published page"
	@echo "make up      the whole fleet, staying up (make up ARGS='--port 8500')"
	@echo "make test    the tests that need no outside service"
	@echo "make check   format, lint, types, import directions, the catalog, the installed packages"
	@echo "make bench   figures, ours beside those of others (needs PostgreSQL and Redis)"
	@echo "make chaos   real processes under every fault that has a name, judged (ARGS='--list' names them)"
	@echo "make simulate  the fleet in one thread by seeds (ARGS='--seeds 20000 --from 101 --jobs 2'), or every crash point (ARGS=crashes)"
	@echo "make lock    pins the dependencies anew (needs uv)"

demo: $(VENV)/.installed
	@$(BIN)/fleet demo $(ARGS)

up: $(VENV)/.installed
	@$(BIN)/fleet up $(ARGS)

# In this order, since what takes longest must not be left to one process at the end (a file that is named before its
# folder is run once); by one process more than there are cores, since many a test waits.
test: $(VENV)/.installed-dev
	@$(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(MOST) $(ARGS) || $(NONE_CHOSEN)
	@$(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ACCEPTANCE) $(ARGS) || $(NONE_CHOSEN)

check: $(VENV)/.installed-dev
	@$(BIN)/ruff format --check --quiet . || { echo "make check: the files above are not formatted; run $(BIN)/ruff format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/fleet check --catalog-only
	@$(BIN)/python -m pip --disable-pip-version-check check

bench: $(VENV)/.installed-compare
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.chaos $(ARGS)

simulate: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.simulation $(ARGS)

lock:
	@command -v uv >/dev/null 2>&1 || { echo "make lock: uv is not here, and only it pins for every platform at once" >&2; exit 1; }
	@$(LOCK) --group build --output-file requirements.lock
	@$(LOCK) --group build --group dev --output-file requirements-dev.lock
	@$(LOCK) --group compare --constraint requirements-dev.lock --output-file requirements-compare.lock

# Stamps: each says that a step was done after the last change of what it depends on.

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "make: there is no $(PYTHON) here; install Python 3.11 or later, or name one with PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), and the fleet needs Python 3.11 or later; name one with PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu install python3-venv, or name another with PYTHON=/path/to/python" >&2; exit 1; }
	@echo "setting up $(VENV) from the pinned lock, once"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made requirements.lock pyproject.toml
	@$(INSTALL) -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
# As pip does it for what it installs: otherwise each process of a first fleet compiles all of it at its start.
	@$(BIN)/python -m compileall -q beat_schedule.py contracts orchestrator workers
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@$(INSTALL) -r requirements-dev.lock
	@touch $@

$(VENV)/.installed-compare: $(VENV)/.installed-dev requirements-compare.lock
	@$(INSTALL) -r requirements-compare.lock || echo "make bench: what it is compared with did not all install, and is left out" >&2
	@touch $@
