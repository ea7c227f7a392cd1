#!/usr/bin/env bash
# Install the project with its tools into .venv (kept while pyproject.toml stays as it is), then
# check form, types and behaviour. Arguments go to pytest: tests/run.sh -k config
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # tests start thousands of programs: each would compile all of it

if ! cmp -s pyproject.toml .venv/installed.toml; then
    rm -rf .venv
    "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
    cp pyproject.toml .venv/installed.toml
fi
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy denet
# on each core runs a test: its programs need not share the others
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" .venv/bin/python -m pytest --numprocesses auto "$@"
