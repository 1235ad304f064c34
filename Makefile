# Two commands for a fresh machine with Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
SECONDS ?= 60
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test long coverage audit clean

demo: $(VENV)/demo.installed
	$(BIN)/birdwatchd demo --seconds $(SECONDS) $(if $(STAY),--stay)

test: $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/system
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/system  # whole daemons: no more at once than there are cores

# Everything, also what takes minutes each: every fault at a whole station, a fresh machine, the service's own start.
long: $(VENV)/test.installed
	BIRDWATCHD_LONG=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/system
	BIRDWATCHD_LONG=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/system

coverage: $(VENV)/test.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=
	$(BIN)/coverage report

# Needs the network and PyPI itself; --strict fails for a package of which nothing is known, instead of passing it over.
audit:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.10,<3"
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("birdwatchd needs Python 3.11 or newer; try: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing birdwatchd into $(VENV) (PyTorch is several GB; this takes a few minutes the first time)"
	$(PIP) --constraint constraints.txt --editable ".[demo]"
	@touch $@

$(VENV)/test.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing birdwatchd and its test tools into $(VENV) (PyTorch is several GB; this takes a few minutes the first time)"
	$(PIP) --constraint constraints.txt --editable ".[demo,test]"
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-audit build dist *.egg-info .mypy_cache .ruff_cache
