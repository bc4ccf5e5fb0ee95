#!/usr/bin/env bash
# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
#
#   benchmark/gpu_check.sh [OUT]            everything that needs a GPU, in under 9 minutes
#   benchmark/gpu_check.sh --dry-run [OUT]  the same steps, as small as they can be, on a CPU
#
# For a machine with torch and an NVIDIA GPU. Runs the tests marked `gpu`, the tables of inference
# and training, compiled against eager learning, and, where rclpy is installed, the node over DDS
# with its rate, latency, start-up and memory. A step that fails does not stop the others. OUT
# (gpu_check_output by default) gets gpu_check.txt with all that was printed and gpu_check.json with
# each step's status, seconds and figures. The exit status is the number of steps that failed.

set -u
cd "$(dirname "$0")/.." || exit 1

DRY=
if [ "${1:-}" = --dry-run ]; then DRY=1; shift; fi
OUT=${1:-gpu_check_output}
PYTHON=${PYTHON:-python3}

# Refused before 9 minutes are spent on it. 4 is the answer of the question, others are Python's.
"$PYTHON" -c "import importlib.util as i, sys; sys.exit(0 if i.find_spec('torch') else 4)"
if [ $? = 4 ]; then
    echo "gpu_check.sh: torch is not installed for $PYTHON: pip install 'monodepth2_ros[train]', or" \
        "name another Python with PYTHON=.venv/bin/python" >&2
    exit 1
fi
if [ -z "$DRY" ]; then
    "$PYTHON" -c "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 4)"
    if [ $? = 4 ]; then
        echo "gpu_check.sh: torch finds no CUDA device; check the driver with nvidia-smi, or try the" \
            "steps on the CPU with --dry-run" >&2
        exit 1
    fi
fi
mkdir -p "$OUT" || exit 1
TEXT=$OUT/gpu_check.txt
STEPS=$OUT/steps.tsv
: > "$TEXT"; : > "$STEPS"
FAILED=0

# step NAME LIMIT COMMAND...: run a command for at most LIMIT seconds.
step() {
    local name=$1 limit=$2 started status
    shift 2
    printf '\n== %s\n$ %s\n' "$name" "$*" >> "$TEXT"
    started=$(date +%s.%N)
    timeout --kill-after=5 "$limit" "$@" >> "$TEXT" 2>&1
    status=$?
    [ $status = 0 ] || FAILED=$((FAILED + 1))
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$started" "$(date +%s.%N)" >> "$STEPS"
    echo "$name: $([ $status = 0 ] && echo done || echo "failed with status $status")"
}

has() { "$PYTHON" -c "import importlib.util as i, sys; sys.exit(i.find_spec('$1') is None)"; }

if [ -n "$DRY" ]; then
    export CUDA_VISIBLE_DEVICES=
    step machine 300 "$PYTHON" -c "import torch; print(torch.__version__, 'dry run on the CPU')"
    step tests 300 "$PYTHON" -m pytest -q -p no:cacheprovider -m gpu --collect-only test/monodepth2_ros/networks/test_gpu_network.py
    step inference 300 "$PYTHON" benchmark/inference.py --sizes 64x64 --rounds 1 --json "$OUT/inference.json"
    # A step takes minutes on a CPU: only its imports and options are tried.
    step training 300 "$PYTHON" benchmark/training.py --help
else
    step machine 30 sh -c "nvidia-smi; $PYTHON -c 'import torch; print(torch.__version__, torch.cuda.get_device_name())'"
    step tests 150 "$PYTHON" -m pytest -q -p no:cacheprovider -m gpu
    step inference 90 "$PYTHON" benchmark/inference.py --sizes 640x192 192x128 --rounds 30 \
        --image 1280x720 --batch 32 --json "$OUT/inference.json"
    # On a GPU this times the compiled step next to the eager one.
    step training 150 "$PYTHON" benchmark/training.py --device cuda --batch-size 12 --rounds 5 \
        --json "$OUT/training.json"
    if has rclpy; then
        step node 60 "$PYTHON" benchmark/node.py --seconds 10 --image-size 1280x720 --rate 60 --device cuda
        step startup 60 "$PYTHON" benchmark/startup.py --rounds 2 --backends torch --device cuda
    else
        printf '\n== node and startup\nleft out: rclpy is not installed\n' >> "$TEXT"
    fi
fi

"$PYTHON" - "$OUT" <<'PROGRAM'
import json, pathlib, sys

out = pathlib.Path(sys.argv[1])
report = {"steps": {}}
for line in (out / "steps.tsv").read_text().splitlines():
    name, status, started, ended = line.split("\t")
    seconds = round(float(ended) - float(started), 1)
    report["steps"][name] = {"status": int(status), "seconds": seconds}
for name in ("inference", "training"):
    path = out / f"{name}.json"
    if path.is_file():
        report[name] = json.loads(path.read_text())
        path.unlink()
(out / "steps.tsv").unlink()
(out / "gpu_check.json").write_text(json.dumps(report, indent=1) + "\n")
PROGRAM
echo "$OUT/gpu_check.json and $OUT/gpu_check.txt are written; $FAILED steps failed"
exit $FAILED
