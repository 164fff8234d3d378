#!/usr/bin/env bash
# Checks every path on a GPU against the CPU, in under eight minutes: tests/gpu/run.sh [--device cuda] [--only WORD ...]
# Without a GPU, `tests/gpu/run.sh --device cpu` compares the CPU with itself in a reduced form: it proves the script.
# Exit status: 0 all passed, 1 a check failed or did not run, 2 no such device.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null || python=python3
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec timeout --signal=INT 480 "$python" -m tests.gpu.check "$@"
