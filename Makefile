# Every target sets up what it needs by itself: a virtual environment in .venv, servers in .cache (see stack/).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help up down test lint format generate bench servers clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(RUNNABLE)  ## Start everything with demo data: exporter, Prometheus, Alertmanager, Grafana
	@$(BIN)/python -m genai_stack up $(ARGS)

down: $(RUNNABLE)  ## Stop what `make up` started; data is kept
	@$(BIN)/python -m genai_stack down

# Three processes, a file to each at a time: most files wait for servers. In the order of the files, the slow ones come early.
test: lint servers  ## Lint, type-check and run all tests against real servers
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)  ## ruff (docstrings included), mypy, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m genai_dashboards --check
	$(BIN)/python -m genai_rules --check
	$(BIN)/python docs/metrics_reference.py --check

format: $(READY)  ## Rewrite the sources in house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(READY)  ## Write the generated files again: dashboards, thresholds in force, docs/metrics.md
	$(BIN)/python -m genai_dashboards
	$(BIN)/python -m genai_rules
	$(BIN)/python docs/metrics_reference.py

bench: $(READY)  ## Measure the record path and the scrape beside the peers; writes the table of the README
	$(BIN)/python -m benchmarks $(or $(ARGS),--readme README.md)

servers: $(RUNNABLE)  ## Fetch Prometheus, promtool, Alertmanager and amtool unless they are installed
	@$(BIN)/python -m genai_stack fetch

clean:  ## Remove the virtual environment, fetched servers and run data
	rm -rf $(VENV) .cache .run

# Running needs little; the real provider libraries that the tests talk to are ten times that.
$(RUNNABLE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; say which with: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	    { echo "cannot make a virtual environment; on Debian: apt install python3-venv"; exit 2; }
	@echo "installing the exporter and the demo into $(VENV) (once: about 250 MB, half a minute on a fast line) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[exporter,prices,inbox,demo]'
	@touch $@

$(READY): pyproject.toml $(RUNNABLE)
	@echo "installing what development and tests need into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
