# Every target makes what it needs; `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
ASSETS := out/assets

.PHONY: help install demo models test check stubs format clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One pip command each, so that the torch pin in constraints.txt decides before anything else asks.
.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt -e '.[all]'
	@touch $@

.venv/.check: pyproject.toml constraints.txt requirements-check.txt | .venv/bin/python
	$(PIP) install -c constraints.txt -r requirements-check.txt -e '.[server]'
	@touch $@

