# Everything runs from $(VENV); `make setup` makes it, every other target does so when it must.
# GNU make 3.81 (macOS) is enough.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
ARGS ?=
# The first of these that is new enough; name another with PYTHON=…
PYTHONS := python3 python3.13 python3.12 python3.11

MINUTES ?= 5
SEED ?= 1
WORKERS ?= 3
RATE ?= 5000

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test fuzz chaos lint format bench env screenshots clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):.*## */\1	/' \
		| awk -F'	' '{ printf "  make %-11s %s\n", $$1, $$2 }'

setup: $(STAMP)  ## make .venv with all that is needed, fetch Kafka

$(STAMP): pyproject.toml constraints.txt kpi_app/local/kafka-jars.txt
	@test -x $(BIN)/python || { \
		for python in $(or $(PYTHON),$(PYTHONS)); do \
			$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue; \
			echo "make setup: making $(VENV) with $$python"; \
			$$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
			break; \
		done; \
		test -x $(BIN)/python || { \
			echo "make setup: no Python 3.11, 3.12 or 3.13 among: $(or $(PYTHON),$(PYTHONS));" \
				"install one, or name it: make setup PYTHON=/path/to/python3" >&2; \
			exit 1; \
		}; \
	}
	@echo "make setup: installing packages into $(VENV) (some 170 MB the first time)"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[local,dev]'
	@echo "make setup: fetching Apache Kafka (45 MB the first time)"
	@$(BIN)/python -m kpi_app.local.jars
	@touch $@

demo: $(STAMP)  ## show it all at work, from nothing: embedded Kafka and Postgres, traffic, KPIs (ARGS=--once ends it)
	@$(BIN)/kpi demo $(ARGS)

dev: $(STAMP)  ## run the Procfile, worker and shipper, on an embedded Kafka and Postgres (KPI_LOG_FILE=… for a log of yours)
	@$(BIN)/python -m kpi_app.demo.dev

test: $(STAMP)  ## run all tests, those against a real Kafka and Postgres among them (ARGS=… for pytest)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

fuzz: $(STAMP)  ## lines gone bad for MINUTES=5, by SEED=1: nothing raises, hangs or changes another line (ARGS=… for the runner)
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --seed $(SEED) $(ARGS)

chaos: $(STAMP)  ## faults under load for MINUTES=5, by SEED=1, with WORKERS=3 and RATE=5000; then every row is compared
	@$(BIN)/python -m tests.chaos.run --minutes $(MINUTES) --seed $(SEED) --workers $(WORKERS) --rate $(RATE) $(ARGS)

lint: $(STAMP)  ## check format, style and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict kpi_app

format: $(STAMP)  ## format the code and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(STAMP)  ## measure it against other programs on this machine (ARGS=… for the benchmark)
	$(BIN)/python benchmarks/throughput.py $(ARGS)

env:  ## passwords for deploy/compose.yaml, into deploy/.env; what is there stays
	@sh deploy/make-env

screenshots: $(STAMP)  ## take the pictures of the live page and the terminal in docs/screenshots (needs chromium; ARGS=URL of a worker)
	$(BIN)/python docs/screenshots/take.py $(ARGS)

clean:  ## remove $(VENV) and what tools left; data (kpi-data) stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
