# Everything here needs only make and Python 3.11 or newer; the first target that needs packages installs them into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo demo-run test lint format bench lock clean

# What one process compiled serves all others; `make clean` removes it.
unexport PYTHONDONTWRITEBYTECODE

RUN := .venv/bin/python
RUNTIME := .venv/installed-runtime
DEVELOPMENT := .venv/installed-development
UV := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-10s %s\n", $$1, $$2}'

demo: $(RUNTIME)  ## Run everything with a sandbox EHR and made-up patients (PORT=8000, FRESH=1 for a new clinic)
	@$(RUN) manage.py demo $(if $(PORT),--port $(PORT)) $(if $(FRESH),--fresh)

demo-run: $(RUNTIME)  ## Play one cancellation through to the new booking, without a browser
	@$(RUN) manage.py demo --run $(if $(FRESH),--fresh)

test: $(DEVELOPMENT)  ## Run the tests that need no server, no browser and not long
	@env -u DATABASE_URL -u CELERY_BROKER_URL $(RUN) -m pytest -n auto -m "not browser and not process and not long and not postgres"

lint: $(DEVELOPMENT)  ## Check style, types and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@DJANGO_SETTINGS_MODULE=tests.settings $(RUN) manage.py makemigrations --check --dry-run

format: $(DEVELOPMENT)  ## Put the code into the common form
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format --quiet .

bench: $(DEVELOPMENT)  ## Measure on PostgreSQL and Redis; docs/benchmarks.md says how they are found
	@$(RUN) -m bench

lock:  ## Choose the versions anew from pyproject.toml (needs uv)
	@$(UV) pyproject.toml --output-file requirements.txt --upgrade
	@$(UV) pyproject.toml --group dev --constraint requirements.txt --output-file requirements-dev.txt --upgrade

clean:  ## Remove the packages, the caches and the trial's data (not of a live installation)
	@if [ -f .env ] && grep -q '^INSTALLATION=live' .env; then \
		echo "This installation is live: its data in var/ is kept." >&2; else rm -rf var; fi
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.txt
	@sh scripts/install-packages requirements.txt
	@touch $@

$(DEVELOPMENT): requirements-dev.txt
	@sh scripts/install-packages requirements-dev.txt
	@touch $@
