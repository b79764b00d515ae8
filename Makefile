# make run: a first refresh; make test: every check and test. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDER_DUCKDB := .cache/duckdb-1.5
GRAFANA_DUCKDB := .cache/duckdb-grafana
MINUTES ?= 20
RIVALS := dbmon_pipeline_tests/benchmarks/rivals

.PHONY: run test tests check style types sql-style layers dev bench bench-alerts soak lock pictures clean

run: $(VENV)/.ready
	@test -e data/learning.db || $(BIN)/dbmon sample data/learning.db --rows 50000 --days 30
	@$(BIN)/dbmon refresh
	@$(BIN)/dbmon tables
	@echo "Next: $(BIN)/dbmon show tier_performance, or make dev for the Dagster UI." >&2

# make -j2 runs these side by side: many tests wait for processes, and leave the cores to others.
test: check tests

tests: $(OLDER_DUCKDB)/.ready $(GRAFANA_DUCKDB)/.ready
	$(BIN)/pytest

check: style types sql-style layers

style: $(VENV)/.ready
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)/.ready
	$(BIN)/mypy

sql-style: $(VENV)/.ready
	$(BIN)/sqlfluff lint --disable-progress-bar sql

layers: $(VENV)/.ready
	$(BIN)/lint-imports

dev: $(VENV)/.ready
	$(BIN)/dbmon dev

# Ratios beside bare DuckDB, pandas, dbt and SQLMesh, over ten million rows by default; with
# BENCH="--long 50000000" over fifty, with BENCH="--dev" those of twenty minutes of dbmon dev.
bench: $(VENV)/.ready
	$(BIN)/python -m dbmon_pipeline_tests.benchmarks.refresh $(BENCH)

# Owners that write beside refreshes for some minutes, kills, failing file operations, histories;
# then what tests only sample.
soak: $(VENV)/.ready $(OLDER_DUCKDB)/.ready
	$(BIN)/python -m dbmon_pipeline_tests.soak --minutes $(MINUTES) $(SOAK)
	$(BIN)/pytest -m whole

# False alarms and missed incidents over made-up traffic: about five minutes on two cores.
bench-alerts: $(VENV)/.ready
	$(BIN)/python -m dbmon_pipeline_tests.benchmarks.alert_quality $(BENCH)

# The pictures in the README; wants Debian's package chromium.
pictures: $(VENV)/.ready
	$(BIN)/python -m dbmon_pipeline_tests.pictures docs

# Pin every dependency anew, with hashes and without any registry's address.
lock: $(VENV)/.ready
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
		--no-strip-extras --no-header --no-emit-index-url --quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group build --constraint requirements.lock --universal \
		--generate-hashes --no-strip-extras --no-header --no-annotate --no-emit-index-url --quiet \
		--output-file requirements-run.lock
	echo "duckdb<2" | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --quiet --output-file requirements-duckdb-1.5.lock
	echo "duckdb==1.5.4" | $(BIN)/uv pip compile - --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet \
		--output-file requirements-duckdb-grafana.lock
	for rival in $(RIVALS)/*/requirements.in; do \
		$(BIN)/uv pip compile $$rival --universal --python-version 3.11 --generate-hashes \
			--no-strip-extras --no-header --no-annotate --no-emit-index-url --quiet \
			--output-file $${rival%.in}.lock || exit 1; \
	done

clean:
	rm -rf $(VENV) .cache .dbmon data

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What owners of a source may still write with.
$(OLDER_DUCKDB)/.ready: $(VENV)/.ready requirements-duckdb-1.5.lock
	rm -rf $(OLDER_DUCKDB)
	$(BIN)/pip install --quiet --require-hashes --no-deps --target $(OLDER_DUCKDB) \
		--requirement requirements-duckdb-1.5.lock
	@touch $@

# The engine of Grafana's DuckDB plugin.
$(GRAFANA_DUCKDB)/.ready: $(VENV)/.ready requirements-duckdb-grafana.lock
	rm -rf $(GRAFANA_DUCKDB)
	$(BIN)/pip install --quiet --require-hashes --no-deps --target $(GRAFANA_DUCKDB) \
		--requirement requirements-duckdb-grafana.lock
	@touch $@
