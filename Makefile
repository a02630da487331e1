# Every target installs what it needs itself (local/set_up.sh); a bare `make` prints this help.
.DEFAULT_GOAL := help
.PHONY: help set-up demo stack test test-real bench soak lint format requirements generate clean

PYTHON := .venv/bin/python
WORKERS ?= 2

help:  ## Print this help
	@echo "octopus-backup: backs up Octopus' memory (SQL Server and Qdrant) and restores it to one consistent point."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

set-up:  ## Install what is missing: uv, the locked dependencies, Azurite, unixODBC
	@sh local/set_up.sh

demo: set-up  ## Back up, destroy and restore Octopus' memory on a local stack (KEEP=1 leaves it up, ACTS=all: more)
	@$(PYTHON) -m local.demo $(if $(KEEP),--keep) $(if $(ACTS),--acts $(ACTS))

stack: set-up  ## Start the local stack and leave it up until Ctrl-C; the CLI reads the file it writes
	@$(PYTHON) -m local.serve

test: set-up  ## Pass the tests
	@$(PYTHON) -m pytest -n $(WORKERS) --dist loadscope --cov --cov-report=term:skip-covered

test-real: set-up  ## Run the stores' contract tests against real servers (SQLSERVER_CONNECTION=… QDRANT_URLS=…)
	@test -n "$(SQLSERVER_CONNECTION)$(QDRANT_URLS)" || { echo "Name a real server: make test-real QDRANT_URLS=http://…:6333, or SQLSERVER_CONNECTION=… with both names of its backup folder (docs/testing.md)."; exit 2; }
	@$(PYTHON) -m pytest -m real $(if $(QDRANT_URLS),tests/stores/qdrant) $(if $(SQLSERVER_CONNECTION),tests/stores/sqlserver)

bench: set-up  ## Measure time and memory, beside a peer in the same run
	@$(PYTHON) -m pytest -q -s -p no:cacheprovider tests/bench/bench_*.py

SECONDS ?= 600
soak: set-up  ## Play long random histories for SECONDS=600; SEED=… plays one of them again
	@SOAK_SECONDS=$(SECONDS) SOAK_SEED=$(SEED) $(PYTHON) -m pytest -q -s -n 0 -p no:cacheprovider tests/soak/soak_*.py

lint: set-up  ## Check style, types and that generated files are current
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(MAKE) --no-print-directory --silent requirements OUT=.venv/requirements.txt
	@cmp requirements.txt .venv/requirements.txt || { echo "requirements.txt is stale: make requirements"; exit 1; }

format: set-up  ## Put the code into its standard form
	@.venv/bin/ruff check --fix --silent . ; .venv/bin/ruff format .

generate: set-up  ## Write the files that follow from the settings (docs/configuration.md and the sample)
	@$(PYTHON) -m local.generated

OUT ?= requirements.txt
requirements: set-up  ## Export the runtime dependencies, with hashes, from uv.lock
	@.tools/bin/uv export --locked --quiet --no-dev --no-emit-project --no-header --output-file $(OUT) >/dev/null

clean:  ## Remove everything that was installed or made here
	@rm -rf .venv .tools node_modules .stack .stack.lock .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
