# make demo: the whole street on a small example.  make test: a few minutes.  make check: what CI runs first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test test-all check clean

demo: $(VENV)/.demo
	$(RUN)/edgekit demo --overwrite

test: $(VENV)/.dev
	$(RUN)/pytest -n 2 -m "not slow"

test-all: $(VENV)/.dev
	$(RUN)/pytest -n 2

check: $(VENV)/.dev
	$(RUN)/ruff format --check
	$(RUN)/ruff check
	$(RUN)/mypy --strict edgekit
	$(RUN)/pytest -n 2 -m "not slow"

clean:
	rm -rf $(VENV) edgekit-demo

$(RUN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edgekit needs Python 3.11 or newer; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of extras, so that only a change of what is wanted installs again.
$(VENV)/.demo: $(RUN)/python pyproject.toml constraints.txt
	@echo "installing edgekit into $(VENV) (about a gigabyte, once)"
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(RUN)/python pyproject.toml constraints.txt
	@echo "installing edgekit and its tools into $(VENV) (about a gigabyte, once)"
	$(PIP) --editable '.[demo,dev,ethos-u,micro,report]'
	@touch $@
