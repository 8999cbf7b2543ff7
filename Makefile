# Two environments, each from one hashed lock: the project's (.venv) and local_aws's own.
# Variables: ONCE=1, AWS_PORT, SIMULATOR_PORT, AIRFLOW_PORT, DAYS, USERS, UNTIL, DAYLIGHT_HOME, PYTHON;
# of make cluster also DATABASE, DATABASE_PORT, REDIS_PORT, FLOWER_PORT.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that runs and is 3.11 or 3.12; a shim that only exists does not count.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$p && break; done)
UV := $(shell command -v uv || echo .tools/bin/uv)
export UV_PYTHON_DOWNLOADS := never
# Where it is set, each start compiles what it imports anew: 4 s of CPU for dbt, not 2.
unexport PYTHONDONTWRITEBYTECODE

RUN_FLAGS := $(if $(ONCE),--once) $(if $(AWS_PORT),--aws-port $(AWS_PORT)) \
	$(if $(SIMULATOR_PORT),--simulator-port $(SIMULATOR_PORT)) \
	$(if $(AIRFLOW_PORT),--airflow-port $(AIRFLOW_PORT)) $(if $(DAYS),--days $(DAYS)) \
	$(if $(USERS),--users $(USERS)) $(if $(UNTIL),--until $(UNTIL))

CLUSTER_FLAGS := $(RUN_FLAGS) $(if $(DATABASE),--database $(DATABASE)) \
	$(if $(FLOWER_PORT),--flower-port $(FLOWER_PORT)) \
	$(if $(DATABASE_PORT),--database-port $(DATABASE_PORT)) \
	$(if $(REDIS_PORT),--redis-port $(REDIS_PORT))

help: ## print these targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

run: setup ## clone to daily metrics, then on schedule until Ctrl-C (ONCE=1: one full cycle)
	@exec .venv/bin/python -m laptop $(RUN_FLAGS)

cluster: setup ## the same on Celery with two workers, Redis and PostgreSQL (DATABASE=mysql: MariaDB)
	@exec .venv/bin/python -m cluster $(CLUSTER_FLAGS)

# In two halves side by side: one pytest keeps one core busy. Two that write dbt_project/target
# stay in one half.
APART := tests/test_end_to_end.py tests/dags tests/ingestion

test: setup lint ## every check and test; what CI runs
	@$(MAKE) --no-print-directory -j2 test-runs test-numbers

test-runs:
	local_aws/.venv/bin/python -m pytest local_aws/tests
	.venv/bin/python -m pytest $(APART)

test-numbers:
	.venv/bin/python -m pytest $(APART:%=--ignore=%)

lint: setup ## style, types and SQL, without running anything
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy ingestion expectations
	.venv/bin/mypy --python-executable local_aws/.venv/bin/python local_aws
	.venv/bin/sqlfluff lint --disable-progress-bar dbt_project

bench: setup ## measure local_aws against DuckDB, and the ingestion against the original and the floor
	local_aws/.venv/bin/python -m local_aws.tests.bench
	.venv/bin/python -m tests.clients
	.venv/bin/python -m benchmarks

chaos: setup ## race and kill local_aws; kill, race, poison and rotate the ingestion, and count
	local_aws/.venv/bin/python -m local_aws.tests.drills
	.venv/bin/python -m tests.chaos

proof: setup ## build the warehouse in every way and hold each number to plain Python
	.venv/bin/python -m tests.proof

control: setup ## measure dbt in Airflow, break it, be away for days, backfill, deploy in mid-run
	.venv/bin/python -m tests.airflow_modes
	.venv/bin/python -m tests.airflow_modes.drills
	.venv/bin/python -m tests.catching_up
	.venv/bin/python -m tests.deploy
	.venv/bin/python -m tests.cluster
	.venv/bin/python -m tests.cluster --database mysql

cluster-chaos: setup ## kill parts of the cluster in the middle of runs, and count what is lost
	.venv/bin/python -m tests.cluster_chaos

conformance: setup ## hold local_aws's Athena to the stored answers of real Trino
	local_aws/.venv/bin/python -W ignore -m local_aws.conformance check

judge: setup ## ask real Trino 435 (Java 17, Maven) again, and store its answers
	local_aws/.venv/bin/python -m local_aws.conformance judge

lock: .tools/bin/uv ## resolve both locks again from their pyproject.toml
	$(UV) pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
		--group dev pyproject.toml -o requirements.lock
	cd local_aws && $(abspath $(UV)) pip compile -q --universal --generate-hashes --no-header \
		--python-version 3.11 --group dev pyproject.toml -o requirements.lock

clean: ## remove the lake, Airflow's database, logs and secrets of this laptop
	rm -rf .daylight dbt_project/target dbt_project/logs

setup: .venv/synced local_aws/.venv/synced ingestion/libkernel.so ## install both environments

ingestion/libkernel.so: ingestion/kernel.c
	$(CC) -O3 -fPIC -shared -o $@ $< -lm

image: ## build the cluster's image, with the dbt manifest in it (IMAGE=name:tag)
	docker build --target airflow -t $(or $(IMAGE),daylight-airflow) .

push:
	docker push $(IMAGE)

env: setup ## write .env for docker compose, with fresh secrets
	@.venv/bin/python -m laptop.cluster_env

.venv/synced: requirements.lock | preflight $(filter .tools/bin/uv,$(UV))
	$(UV) venv -q --allow-existing -p $(PYTHON) .venv
	$(UV) pip sync -q -p .venv --require-hashes requirements.lock
	@touch $@

local_aws/.venv/synced: local_aws/requirements.lock | preflight $(filter .tools/bin/uv,$(UV))
	$(UV) venv -q --allow-existing -p $(PYTHON) local_aws/.venv
	$(UV) pip sync -q -p local_aws/.venv --require-hashes local_aws/requirements.lock
	@touch $@

preflight:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is needed and none was found." \
		"Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m laptop.preflight

.tools/bin/uv: | preflight
	$(PYTHON) -m pip install -q --disable-pip-version-check --root-user-action=ignore \
		--target .tools uv

.PHONY: help run cluster test test-runs test-numbers lint bench chaos proof control cluster-chaos conformance judge lock clean setup image push env preflight
