# Two commands do everything: `make bench` measures the two newest PyMC releases, `make test` runs the tests.
# Both set themselves up: they need Python 3.12 somewhere (on PATH, in pyenv, or known to uv) and the package index.

VENV := .venv
READY := $(VENV)/.ready
WARM ?= 1

.PHONY: bench test test-fast lint check site setup clean report \
	nightly-lock nightly-plan nightly-clean nightly-measure nightly-collect nightly-pages nightly-alerts

bench: setup
	$(VENV)/bin/bench run --warm $(WARM)

test: setup lint
	$(VENV)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

# What to run while writing: nothing that needs a network, a browser, a sampler or more than a second.
test-fast: setup
	$(VENV)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder \
		-m "not network and not sampling and not browser and not slow"

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

check: setup
	$(VENV)/bin/bench check
	$(VENV)/bin/zizmor --quiet --offline --no-progress --persona pedantic .github
	$(VENV)/bin/actionlint

site: setup
	$(VENV)/bin/asv publish

# What .github/workflows/measure.yml runs. Its inputs come as variables of the environment (BENCH_RELEASES, BENCH_MODELS,
# BENCH_WARM are read by `bench nightly` itself), and are never part of a command's text, nor is the name of any file.

nightly-lock: setup
	$(VENV)/bin/bench nightly lock

nightly-plan: setup
	$(VENV)/bin/bench nightly plan

# On a machine of one's own: what was handed on and not kept, or kept and withdrawn, is measured again.
nightly-clean:
	rm -rf shard incoming
	git clean -ffdq results
	git checkout --quiet -- results

nightly-measure: setup
	$(VENV)/bin/bench nightly measure "$$STACK" "shard/$$STACK"

nightly-collect: setup
	$(VENV)/bin/bench nightly collect --in incoming

nightly-alerts: setup
	$(VENV)/bin/bench nightly alerts --repository "$$GITHUB_REPOSITORY" --jobs "$$NEEDS" --log "$$LOG"

# Asks whether the site can be deployed, so that a missing setting is a sentence.
nightly-pages: setup
	$(VENV)/bin/bench nightly pages

# What .github/workflows/report.yml runs.
report: setup
	$(VENV)/bin/bench report

setup: $(READY)

$(READY): requirements.txt pyproject.toml .ci/setup
	@bash .ci/setup $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .asv html
