# Every target sets up what it needs: the virtual environment, the connector jar, the S3 plugin. Nothing else is touched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --jobs=3 # virtual environment, jar and plugin at the same time

unexport PYTHONDONTWRITEBYTECODE # where it is set, each Python process would compile all its libraries again: 5 s of CPU

PYTHON ?= python3.11
PYTHON313 ?= python3.13
MVN ?= mvn
UV_VERSION := 0.13.8
FLINK_VERSION := 1.20.1

BIN := .venv/bin
VENV := .venv/.stamp
JAR := deploy/jar/target/fraud-windows-connectors.jar
S3_PLUGIN := .local/plugins/s3-fs-hadoop/flink-s3-fs-hadoop-$(FLINK_VERSION).jar
JAR_SOURCES := deploy/jar/pom.xml $(shell find deploy/jar/src -type f 2>/dev/null)
LOCALSTACK_VENV := .local/localstack/venv/.stamp
LOCALSTACK_DYNAMODB := .local/localstack/root/var/lib/localstack/lib/dynamodb-local/2/DynamoDBLocal.jar
ON_THE_SERVICE := python-dateutil six urllib3 # what the packaged wheels need and apache-flink brings
TIMED = started=$$SECONDS; took() { printf '\033[32m✓\033[0m %s (%ss)\n' "$$1" $$((SECONDS - started)); }

.PHONY: help setup jar package demo test test-unit laws fuzz check format bench curves freshness faults soak verdicts mutants lock clean local-up local-down

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV) $(JAR) $(S3_PLUGIN) ## virtual environment, connector jar and S3 plugin (all other targets do this by themselves)

package: setup ## the zip for Managed Service for Apache Flink: build/fraud-windows.zip
	@$(BIN)/fraud-windows package

jar: $(JAR) ## the one connector jar that the job is submitted with

demo: setup ## 100,000 payments through the whole job on this machine: Kinesis, Flink cluster, DynamoDB, S3
	@$(BIN)/python -m flink_app.demo

test: setup ## all tests (under 15 minutes)
	@$(BIN)/pytest --numprocesses=2 --dist=loadscope --no-loadscope-reorder

test-unit: $(VENV) ## tests of pure logic, no Flink, no AWS (under 30 seconds)
	@$(BIN)/pytest --numprocesses=auto -m "not flink and not e2e and not slow"

laws: $(VENV) ## the laws as properties and the referee, a hundred times as many examples as in the tests (an hour)
	@HYPOTHESIS_PROFILE=thorough REFEREE=400 $(BIN)/pytest tests/test_laws.py tests/test_referee.py

fuzz: $(VENV) ## a million hostile records through gate and windows (make fuzz FUZZ="--records 10000 --seed 7")
	@$(BIN)/python -m tests.fuzz $(FUZZ)

check: $(VENV) ## lint, formatting, types, SQL and CloudFormation lint; all of them, then fails if one did
	@failed=0
	step() { local started=$$SECONDS; if "$${@:2}"; then printf '\033[32m✓\033[0m %s (%ss)\n' "$$1" $$((SECONDS - started)); else printf '\033[31m✗\033[0m %s\n' "$$1"; failed=1; fi; }
	step "ruff" $(BIN)/ruff check --quiet .
	step "ruff format" $(BIN)/ruff format --quiet --check .
	step "mypy strict" $(BIN)/mypy --no-error-summary
	step "cfn-lint" $(BIN)/cfn-lint deploy/stack.yaml
	step "sqlfluff" $(BIN)/sqlfluff lint --quiet --disable-progress-bar sql/events.sql sql/windows
	exit $$failed

format: $(VENV) ## let ruff format and fix what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only .

freshness: setup ## how fresh live rows are at 10, 50 and 90 % load, and what they cost in DynamoDB writes (docs/freshness.md)
	@$(BIN)/python -m tests.freshness $(FRESHNESS)

faults: setup ## every fault × every law on a real cluster (an hour; make faults FAULTS="--only DynamoDB --seeds 1", FAULTS=--list)
	@$(BIN)/python -m tests.faults $(FAULTS)

soak: setup ## a day of the stream in half an hour: memory, state and files must stay flat (make soak SOAK="--hours 2")
	@$(BIN)/python -m tests.soak $(SOAK)

localstack: setup $(LOCALSTACK_VENV) $(LOCALSTACK_DYNAMODB) ## the end-to-end test against LocalStack itself, without Docker (Python 3.13, npm, 400 MB; 3 minutes)
	@$(BIN)/python -m tests.localstack

verdicts: setup ## every verdict of `fraud-windows doctor`, really caused on a local cluster (five minutes)
	@$(BIN)/pytest -m verdicts tests/test_doctor.py $(VERDICTS)

mutants: $(VENV) ## seeded bugs: each must be found by the tests named for it (make mutants MUTANTS="--only late-check-dropped")
	@$(BIN)/python -m tests.mutants $(MUTANTS)

curves: setup ## what a payment costs against customers, windows, slide, disorder, distinct values, log size (half an hour)
	@$(BIN)/python -m tests.curves $(CURVES)

bench: setup ## events per second and CPU per event, beside eight others on the same bytes (an hour a round; make bench BENCH="--rounds 3")
	@$(BIN)/python -m tests.bench $(BENCH)

local-up: setup ## the local AWS endpoint with stream, table and bucket
	@$(BIN)/fraud-windows local up

local-down: $(VENV) ## stop it and delete its data
	@$(BIN)/fraud-windows local down

lock: ## pin all requirements anew (both files together: the local AWS stand-in pins boto3)
	@lock() { { sed -n 1p $$1; $(BIN)/uv pip compile pyproject.toml --quiet --python-version 3.11 --no-header --annotation-style line $${@:2}; } > $$1.new; mv $$1.new $$1; }
	lock requirements-dev.txt --upgrade --extra local --extra dev
	lock requirements.txt --constraint requirements-dev.txt
	{ sed -n 1p deploy/requirements.txt; printf 'boto3\nmsgspec\n' | $(BIN)/uv pip compile - --quiet --no-header --annotation-style line --generate-hashes \
	  --python-version 3.11 --python-platform x86_64-manylinux2014 --constraint requirements.txt $(addprefix --no-emit-package ,$(ON_THE_SERVICE)); } > deploy/requirements.new
	mv deploy/requirements.new deploy/requirements.txt
	cd tests/localstack
	{ sed -n 1p requirements.txt; ../../$(BIN)/uv pip compile requirements.in --quiet --upgrade --python-version 3.13 --no-header --annotation-style line; } > requirements.new
	mv requirements.new requirements.txt

clean: ## everything that was built or downloaded
	@[ ! -x $(BIN)/fraud-windows ] || $(BIN)/fraud-windows local down
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .venv .local deploy/jar/target build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV): requirements-dev.txt pyproject.toml
	@$(TIMED)
	command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found · Python 3.11 is needed (PyFlink 1.20) · install it, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) --version) · wanted Python 3.11 (PyFlink 1.20)"; exit 2; }
	printf '\033[36m▸\033[0m %s\n' "virtual environment .venv from requirements-dev.txt (about a minute)"
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); then
	  $(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	else
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	fi
	touch $@
	took "virtual environment"

$(JAR): $(JAR_SOURCES)
	@$(TIMED)
	command -v java >/dev/null && command -v $(MVN) >/dev/null || { echo "error: java or mvn not found · a JDK (11 or 17) and Maven are needed for the connector jar · install them"; exit 2; }
	printf '\033[36m▸\033[0m %s\n' "connector jar (about 90 s when Maven has to download)"
	$(MVN) --quiet --batch-mode -Dstyle.color=never --file deploy/jar/pom.xml package
	touch $@
	took "$@"

$(S3_PLUGIN):
	@$(TIMED)
	printf '\033[36m▸\033[0m %s\n' "Flink's S3 filesystem plugin"
	mkdir -p $(@D)
	$(MVN) --quiet --batch-mode -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
	  -Dartifact=org.apache.flink:flink-s3-fs-hadoop:$(FLINK_VERSION) -DoutputDirectory=$(abspath $(@D))
	took "S3 filesystem plugin"

$(LOCALSTACK_VENV): tests/localstack/requirements.txt | $(VENV)
	@$(TIMED)
	$(PYTHON313) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || { echo "error: $(PYTHON313) is no Python 3.13, which LocalStack needs · install it, or name it: make localstack PYTHON313=/path/to/python3.13"; exit 2; }
	command -v npm >/dev/null || { echo "error: npm not found · LocalStack's Kinesis comes by npm and runs on node · install both"; exit 2; }
	printf '\033[36m▸\033[0m %s\n' "LocalStack from tests/localstack/requirements.txt (350 MB)"
	[ -x $(@D)/bin/python ] || $(PYTHON313) -m venv $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python -r $<
	touch $@
	took "LocalStack"

$(LOCALSTACK_DYNAMODB): tests/localstack/dynamodb/pom.xml tests/localstack/dynamodb/src/LoopbackDynamoDb.java
	@$(TIMED)
	printf '\033[36m▸\033[0m %s\n' "DynamoDB Local (50 MB)"
	$(MVN) --quiet --batch-mode -Dstyle.color=never --file $< package -Dto=$(abspath $(@D))
	touch $@
	took "DynamoDB Local"
