# Every target makes what it needs; `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install install-check install-test
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: .venv/.all ## .venv with everything the demo needs
install-check: .venv/.check
install-test: .venv/.test

# One pip command each, so that constraints.txt pins torch before anything else asks for it.
.venv/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt -e '.[$*]'
	@touch $@
