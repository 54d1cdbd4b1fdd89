# Everything a newcomer needs: `make demo` and `make test` set up what they lack and then run.
# Plain POSIX sh, no make above 3.81, so that it also works with what macOS ships.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# The first of these that is new enough; `make PYTHON=/path/to/python` chooses another.
PYTHON = $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
# Builds without CUDA for x86-64 Linux; asked only where it answers at once. PyPI's own for arm64 is without.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
CACHE = $(or $(TIERLINE_CACHE),$(if $(filter Darwin,$(shell uname -s)),$(HOME)/Library/Caches,$(or \
	$(XDG_CACHE_HOME),$(HOME)/.cache))/tierline)
DEMO ?=
TESTS ?=
# What the records in benchmarks/results/cartography were trained with.
TRAIN ?= --epochs 5 --weighting equal --distil 0.5 --attentive
TRAIN_snippets ?= --seeds 10,11,12,13,14 --rival-seeds 10,11,12,13,14
TRAIN_sst2 ?= --seeds 10,11,12,13,14 --rival-seeds 10,11,12,13,14 --rows 10000
TRAIN_cola ?= --seeds 10,11,12,13,14
TRAIN_rte ?= --seeds 10,11,12,13,14 --rows 400

.DEFAULT_GOAL := help
.PHONY: help demo test check bench cartography docs install mosquitto clean

help:  ## say what there is to make
	@echo 'Tierline runs one PyTorch model across phone, edge and cloud. make ...'
	@sed -n 's/^\([a-z]*\):.*  ## /  \1 /p' Makefile | awk '{ n = $$1; $$1 = ""; printf "  %-10s%s\n", n, $$0 }'

demo: install mosquitto  ## set up, then show the whole thing on this machine; DEMO="--bundle image" for more
	@$(BIN)/tierline demo $(DEMO)

test: $(VENV)/.test mosquitto  ## set up, then run every test; TESTS="tests/broker -x" for some
	@$(BIN)/python -m pytest $(if $(TESTS),$(TESTS),--durations=10 --cov --cov-report=term --cov-fail-under=90)

check: $(VENV)/.lint  ## formatting, lint, types and who may import what
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.bench mosquitto  ## measure every figure of the documentation again (minutes)
	@$(BIN)/tierline bench

cartography: $(VENV)/.test  ## train early exits anew and compute every figure of docs/cartography.md (hours)
	@mkdir -p benchmarks/results/cartography
	@$(foreach task,snippets $(if $(TIERLINE_GLUE),sst2 cola rte),\
		$(BIN)/tierline train --task $(task) $(TRAIN) $(TRAIN_$(task)) --out runs/$(task) \
		&& $(BIN)/tierline cartography report runs/$(task)/$(task).npz --out benchmarks/results/cartography/$(task).npz \
		&& $(BIN)/tierline cartography plot runs/$(task)/$(task).npz --out docs/figures \
		&& $(BIN)/tierline cartography plot runs/$(task)/$(task).npz --exits 1,2,3,4,5,6 --out runs/$(task) \
		&& cp runs/$(task)/$(task)-pareto-1-2-3-4-5-6.svg docs/figures/ &&) \
		$(BIN)/tierline bench cartography cartography_costs

docs: install  ## write the tables of the documentation anew from benchmarks/results
	@$(BIN)/python benchmarks/tables.py

install: $(VENV)/.project  ## only set up .venv
	@:

# --- the environment: each step leaves a stamp in .venv, so a second run has nothing to do; it tells on stderr ---

$(VENV)/.pip:
	@test -n "$(PYTHON)" || { exec >&2; echo 'Tierline needs Python 3.11 or newer, which is not on PATH. Install it with:'; \
		command -v brew >/dev/null && echo '  brew install python@3.13' \
		|| echo '  sudo apt-get install -y python3.11 python3.11-venv'; exit 1; }
	@test "$$(uname -sm)" != 'Darwin x86_64' || { echo >&2 'PyTorch has no build for Intel Macs any more:' \
		'use a machine with Linux, or an Apple silicon Mac.'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { exec >&2; echo '$(PYTHON) lacks venv. Install it with:'; \
		echo "  sudo apt-get install -y $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	@echo >&2 '== making $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys, pip; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' \
		|| $(PIP) install --quiet 'pip>=25.1'
	@touch $@

$(VENV)/.torch: constraints.txt $(VENV)/.pip
	@echo >&2 '== installing PyTorch without CUDA (about 200 MB, once)'
	@index=; if test "$$(uname -sm)" = 'Linux x86_64' && ($(BIN)/python -c \
		'import signal, urllib.request as u; signal.alarm(3); u.urlopen("$(TORCH_INDEX)/torch/")') 2>/dev/null; \
		then index='--index-url $(TORCH_INDEX)'; fi; \
		$(PIP) install --no-deps $$index --constraint constraints.txt torch >&2 \
		|| $(PIP) install --no-deps --constraint constraints.txt torch >&2
	@$(PIP) install --quiet --constraint constraints.txt torch numpy
	@$(PIP) list 2>/dev/null | grep -q '^nvidia' && echo >&2 '== note: this platform only had a CUDA build of PyTorch,' \
		'so several GB of nvidia packages came with it; they are not used' || true
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.torch
	@echo >&2 '== installing Tierline'
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[torch]'
	@$(PIP) install --quiet --constraint constraints.txt --only-binary iotcore --editable '.[embedded]' 2>/dev/null \
		|| echo >&2 '== note: the embedded broker (iotcore) has no build for this platform; Mosquitto is needed then'
	@touch $@

$(VENV)/.test: $(VENV)/.project
	@echo >&2 '== installing the test tools'
	@$(PIP) install --quiet --constraint constraints.txt --group test --editable '.[torch,onnx,plot]'
	@$(PIP) install --quiet --constraint constraints.txt --only-binary numba,llvmlite --editable '.[native]' 2>/dev/null \
		|| echo >&2 '== note: numba has no build for this platform; the tests that need it are skipped'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	@echo >&2 '== installing what the benchmarks compare with'
	@$(PIP) install --quiet --constraint constraints.txt --only-binary :all: --group bench 2>/dev/null \
		|| echo >&2 '== note: blosc2 or zfpy has no build for this platform; the benchmarks leave them out'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@echo >&2 '== installing the linters'
	@$(PIP) install --quiet --constraint constraints.txt --group lint
	@touch $@

# Where it is missing and we may; the embedded broker stands in where we may not, so this never fails.
mosquitto:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"; ! command -v mosquitto >/dev/null || exit 0; \
	if command -v brew >/dev/null; then how='brew install mosquitto'; \
	elif command -v apt-get >/dev/null && test "$$(id -u)" = 0; then how='apt-get install -qq -y mosquitto'; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then how='sudo -n apt-get install -qq -y mosquitto'; \
	else echo >&2 '== note: Mosquitto is not installed and we may not install it; the embedded broker stands in' \
		'(to have it: sudo apt-get install -y mosquitto)'; exit 0; fi; \
	echo >&2 "== installing Mosquitto: $$how"; \
	case "$$how" in *apt-get*) $${how%%apt-get*} apt-get update -qq;; esac; \
	DEBIAN_FRONTEND=noninteractive $$how </dev/null >/dev/null \
		|| echo >&2 '== note: that failed; the embedded broker stands in'

clean:  ## remove what was made here: the environment, caches, fetched weights and data
	@for made in $(VENV) "$(CACHE)/packages" "$(CACHE)/agreement" build dist replay-out .coverage .mypy_cache .ruff_cache \
		.pytest_cache .import_linter_cache .hypothesis; do \
		if test -e "$$made"; then echo "removing $$made"; rm -rf "$$made"; fi; done
	@rmdir "$(CACHE)" 2>/dev/null || true
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
