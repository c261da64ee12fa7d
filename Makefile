# `make demo` runs the quickstart sweep, `make test` all tests, `make quick` those that take no time.
PYTHON ?= python3
VENV ?= .venv
OUT ?= results/quickstart
BIN := $(VENV)/bin
# Those on Ray first: they are one group, the longest.
PARALLEL := -n 2 --dist loadgroup --no-loadscope-reorder
# Else every process of a test compiles the whole project anew.
test quick: export PYTHONDONTWRITEBYTECODE =

.PHONY: install demo test quick lint types bench docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "promptsweep needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: install
	$(BIN)/sweep run quickstart --out $(OUT)

test: install
	$(BIN)/python -m pytest $(PARALLEL)

quick: install
	$(BIN)/python -m pytest $(PARALLEL) -m "not cluster and not real and not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks

# The site, in site/. Nothing is asked from outside but the first time pip's packages.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) build site *.egg-info
