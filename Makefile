.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python

.venv/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 18

setup: .venv/ready  ## make .venv and install everything

test: setup  ## run all tests
	$(PY) -m pytest -q

lint: setup  ## ruff and mypy
	.venv/bin/ruff check . && .venv/bin/mypy ddpm_faces

.PHONY: help setup test lint
