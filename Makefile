# Two commands do everything: `make bench` measures the two newest PyMC releases, `make test` runs the tests.
# Both set themselves up: they need Python 3.12 somewhere (on PATH, in pyenv, or known to uv) and the package index.

VENV := .venv
READY := $(VENV)/.ready
WARM ?= 2
BUDGET ?= 16

.PHONY: help bench test test-all test-fast lint check site setup clean compare compare-build report \
	nightly-resolve nightly-lock nightly-plan nightly-clean nightly-measure nightly-collect nightly-blame \
	nightly-collect-blame nightly-pages nightly-alerts

bench: setup ## measure the two newest releases, compare them, publish the site, print a summary
	$(VENV)/bin/bench run --warm $(WARM) --budget $(BUDGET)

test: setup lint ## ruff and the tests
	$(VENV)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --durations 8 -m "not thorough"

test-all: setup lint ## all tests: also every backend, a week of nightly runs, and error rates
	$(VENV)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --durations 8

# What to run while writing: nothing that needs a network, a browser, a sampler or more than a second.
test-fast: setup ## the tests that take no network, browser or sampling
	$(VENV)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder \
		-m "not network and not sampling and not browser and not slow and not thorough"

lint: setup ## the code, by ruff
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

check: setup ## the list of benchmarks, and the workflows, by zizmor and actionlint
	$(VENV)/bin/bench check
	$(VENV)/bin/zizmor --quiet --offline --no-progress --persona pedantic .github
	$(VENV)/bin/actionlint

site: setup ## write the site from the results, into html/
	$(VENV)/bin/asv publish

# What .github/workflows/measure.yml runs. Its inputs come as variables of the environment (BENCH_RELEASES, BENCH_MODELS,
# BENCH_WARM are read by `bench nightly` itself), and are never part of a command's text, nor is the name of any file.

nightly-resolve: setup ## resolve the releases that are new, into proposal/
	$(VENV)/bin/bench nightly resolve proposal

nightly-lock: setup ## check the locks in proposal/ and push them
	$(VENV)/bin/bench nightly lock proposal

nightly-plan: setup ## say which stacks, or which blocks of the history, are to be measured
	$(VENV)/bin/bench nightly plan --to plan/plan.json

# On a machine of one's own: what was handed on and not kept, or kept and withdrawn, is measured again.
nightly-clean: ## delete what was measured and not kept (self-hosted runners)
	rm -rf shard incoming proposal plan answers
	git clean -ffdq results
	git checkout --quiet -- results

nightly-measure: setup ## measure the stack or the block that $WORK names, into shard/
	$(VENV)/bin/bench nightly measure "$$WORK" "shard/$$WORK"

nightly-collect: setup ## check what is in incoming/ and push what is new
	$(VENV)/bin/bench nightly collect --in incoming

nightly-blame: setup ## ask which packages made what is alerted of, into answers/
	$(VENV)/bin/bench nightly blame answers

nightly-collect-blame: setup ## check what is in answers/ and push what is new
	$(VENV)/bin/bench nightly collect-blame answers

nightly-alerts: setup ## open, update and close the issues of the alerts
	$(VENV)/bin/bench nightly alerts --repository "$$GITHUB_REPOSITORY" --jobs "$$NEEDS" --log "$$LOG"

# Asks whether the site can be deployed, so that a missing setting is a sentence.
nightly-pages: setup ## ask GitHub whether the site can be deployed
	$(VENV)/bin/bench nightly pages

# What .github/workflows/compare.yml runs: BENCH_A, BENCH_B, BENCH_MODELS, BENCH_BACKENDS and BENCH_BUDGET say what of.
# That one release is slower than another is no fault of the pull request that measures it.
compare: setup ## compare the two newest releases, side by side
	$(VENV)/bin/bench compare --exit-zero

# What .github/workflows/compare-build.yml runs: commits of the package $PACKAGE, whose clone is beside this one.
compare-build: setup ## compare the newest commit of a package with its first parent
	$(VENV)/bin/bench compare --with-a "$$PACKAGE=../clone@HEAD^1" --with-b "$$PACKAGE=../clone@HEAD"

# What .github/workflows/report.yml runs.
report: setup ## comment on a pull request with what it measured
	$(VENV)/bin/bench report

setup: $(READY) ## install the tools into .venv

$(READY): requirements.txt pyproject.toml .ci/setup
	@bash .ci/setup $(VENV)
	@touch $@

clean: ## delete the tools, the environments, the site and unfinished rounds; no result
	rm -rf $(VENV) .asv html

help: ## print this list
	@sed -nE 's/^([a-z-]+):.+## (.+)/\1\t\2/p' Makefile | expand -t 17
