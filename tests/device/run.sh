#!/usr/bin/env bash
# All that a GPU is needed for, in one command: whether every kernel computes there what the
# reference does, then how fast. Results go to the folder OUT (./device unless it is set), as
# device.json and tests.txt. PYTHON needs the packages of the project, pytest, and CuPy; PyTorch,
# where it is there, is measured side by side.
#
#     GPU=0 bash tests/device/run.sh
set -uo pipefail
cd "$(dirname "$0")/../.."
export GPU="${GPU:-0}" PYTHONPATH="$PWD:$PWD/tests" PYTHONUNBUFFERED=1
out="${OUT:-device}"
python="${PYTHON:-python3}"
mkdir -p "$out"
"$python" bin/model-info --env | tee "$out/environment.txt"
"$python" -m pytest -q -rfEs --maxfail 30 \
    tests/backend/cuda tests/backend/test_plan_equality.py tests/device 2>&1 |
    tee "$out/tests.txt" | tail -40
tested=${PIPESTATUS[0]}
"$python" tests/device/measure.py --output "$out/device.json" "$@"
measured=$?
echo "tests: $tested, measurements: $measured; all of it is in $out"
((tested == 0 && measured == 0))
