# Two commands do everything: `make bench` measures the two newest PyMC releases, `make test` runs the tests.
# Both set themselves up: they need Python 3.12 somewhere (on PATH, in pyenv, or known to uv) and the package index.

VENV := .venv
READY := $(VENV)/.ready
WARM ?= 1

.PHONY: bench test test-fast lint setup clean

bench: setup
	$(VENV)/bin/bench run --warm $(WARM)

test: setup lint
	$(VENV)/bin/python -m pytest -n 2 --dist loadscope

test-fast: setup
	$(VENV)/bin/python -m pytest -m "not network and not sampling"

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

setup: $(READY)

$(READY): requirements.txt pyproject.toml .ci/setup
	@bash .ci/setup $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .asv html
