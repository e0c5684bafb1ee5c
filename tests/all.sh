#!/bin/sh
# Sets up what the tests need in .venv, then runs every check: lint, types, import directions, tests.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
export MLFLOW_DISABLE_TELEMETRY=true RAY_USAGE_STATS_ENABLED=0
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy lrpsweep
.venv/bin/lint-imports --no-cache
exec .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
