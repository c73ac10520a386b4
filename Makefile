# `make demo` and `make test` do all the set-up on a machine with Python 3.11 to 3.13 and a package index.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
    command -v $$python >/dev/null && $$python -c $(SUPPORTED) 2>/dev/null && echo $$python && break; done)
SUPPORTED := 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-slurm test-pythons bench lint format lock docs real clean

help: ## list what make can do
	@awk -F ': .*## |: ## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## set up, and run the whole workflow on phantoms
	$(BIN)/snakemake --cores all --configfile config/demo.yaml
	@echo "Open results/demo/report.html"

test: $(INSTALLED) ## set up, and run all tests
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

# The workflow through a real SLURM of one node on loopback; as root it installs Debian's packages.
test-slurm: $(INSTALLED) ## run the workflow through a SLURM of one node on this machine
	if [ "$$(id -u)" = 0 ] && ! command -v slurmctld >/dev/null; then \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge || \
	    echo "SLURM cannot be installed here; its tests skip"; fi
	$(BIN)/python -m pytest -rs tests/slurm

# The tiny run on every supported Python of this machine, each in an environment of its own (minutes each).
test-pythons: $(INSTALLED) ## run the tiny workflow on every supported Python that is here
	for minor in 11 12 13; do ! command -v python3.$$minor >/dev/null || \
	    $(MAKE) VENV=.venv3.$$minor PYTHON=python3.$$minor .venv3.$$minor/.installed || exit 1; done
	$(BIN)/python -m pytest -rs tests/workflow/test_versions.py

# Every benchmark in turn; results with machine, date and yardstick go to benchmarks/results.
bench: $(INSTALLED) ## run every benchmark
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python benchmarks/all.py

# What README and docs quote: the study with scores and outcomes, and sites never trained on. Without a GPU.
real: $(INSTALLED) ## run the study and the sites on the images in ../shared
	$(BIN)/snakemake --cores all --resources gpu=$$(nproc) --configfile tests/real/config.yaml config/severity.yaml tests/real/severity.yaml
	$(BIN)/snakemake --cores all --resources gpu=$$(nproc) --configfile config/hospitals.yaml tests/real/hospitals.yaml

lint: $(INSTALLED) ## check style, types, rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/snakemake --lint --configfile config/demo.yaml

format: $(INSTALLED) ## mend most of what lint finds
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/Snakefile workflow/rules

# Resolve pyproject.toml anew into the lock file.
lock: $(INSTALLED) ## renew requirements.lock from pyproject.toml
	$(BIN)/python -m pip install pip-tools==7.6.2
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
	    --no-emit-find-links --no-emit-trusted-host --extra workflow --extra dev \
	    --output-file requirements.lock pyproject.toml

docs: $(INSTALLED) ## write config/README.md from the schema and, after `make real`, its figures into README and docs
	$(BIN)/python workflow/scripts/config_readme.py workflow/schemas/config.schema.yaml > config/README.md
	! test -f results/real_hospitals/report.html || $(BIN)/python docs/quote.py results

# An environment of another Python, or without pip (a set-up that was cut short), is made again.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c $(SUPPORTED) || { \
	    echo "covidcxr needs Python 3.11, 3.12 or 3.13: install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(BIN)/python -c $(SUPPORTED) 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(INSTALLED)

clean: ## remove the environment
	rm -rf $(VENV) .snakemake
