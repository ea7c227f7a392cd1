#!/usr/bin/env bash
# All that a GPU is needed for, in one command of some minutes: whether every kernel, whole trainings
# and the commands compute there what the reference does, then how fast. Results go to the folder OUT
# (./device unless it is set), as device.json and tests.txt. PyTorch, where it is installed, is
# measured side by side. On a fresh machine with an NVIDIA driver:
#
#     python3 -m venv .venv && . .venv/bin/activate
#     pip install '.[cuda13]' 'pytest>=9' hypothesis
#     GPU=0 bash tests/device/run.sh
set -uo pipefail
cd "$(dirname "$0")/../.."
export GPU="${GPU:-0}" PYTHONPATH="$PWD:$PWD/tests" PYTHONUNBUFFERED=1
out="${OUT:-device}"
python="${PYTHON:-python3}"
mkdir -p "$out" || exit 2
"$python" -c 'import hypothesis, pytest; assert pytest.version_tuple >= (9,)' 2>/dev/null || {
    echo "error: the tests need more packages: pip install 'pytest>=9' hypothesis" >&2
    exit 2
}
"$python" bin/model-info --env | tee "$out/environment.txt"
"$python" bin/model-bench --model-desc 'C[8,3] A P.A R' --image-size 8 8 --class-num 2 --steps 1 \
    >"$out/first_step.txt"
first=$?
((first == 2)) && exit 2  # there is no such GPU, or something is not installed: it was told
# of the backend's tests those of the device: the others need none; one that hangs leaves the rest
timeout 300 "$python" -m pytest -q -rfEs --maxfail 30 \
    $(grep -l 'backend.cuda.devices' tests/backend/cuda/test_*.py) \
    tests/backend/test_plan_equality.py tests/device 2>&1 |
    tee "$out/tests.txt" | tail -40
tested=${PIPESTATUS[0]}
"$python" tests/device/measure.py --output "$out/device.json" "$@"
measured=$?
echo "first step: $first, tests: $tested, measurements: $measured; all of it is in $out"
((first == 0 && tested == 0 && measured == 0))
