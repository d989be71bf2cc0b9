#!/usr/bin/env bash
# Everything that only a GPU can prove of the CUDA executor, in the order in which it pays off. One command:
#
#   bash tools/gpu_check.sh [OUT_FOLDER]        perhaps 6 minutes on an H100; never tried
#
# PYTHON= names a Python that has CUDA's torch, Triton, msgspec, numpy, pytest and hypothesis; else .venv's is
# taken, else python3. Every stage runs even if an earlier one failed; a stage that outlasts its limit is stopped.
# Leaves versions.txt, one log for each stage and cuda_steps.json in OUT_FOLDER (default build/gpu_check).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null || python=python3
out=${1:-build/gpu_check}
mkdir -p "$out"
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
unset TRITON_INTERPRET

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "gpu_check: $python sees no CUDA device, so nothing was checked." >&2
  exit 2
fi

summary=() failed=0

stage() { # stage NAME LIMIT_S COMMAND...
  local name=$1 limit=$2 start=$SECONDS code=0
  shift 2
  printf '\n== %s\n' "$name"
  timeout "$limit" "$@" 2>&1 | tee "$out/${name// /_}.log" || code=$?
  if ((code == 0)); then
    summary+=("$name: ok, $((SECONDS - start)) s")
  else
    summary+=("$name: FAILED with status $code, $((SECONDS - start)) s")
    failed=1
  fi
}

{
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
  "$python" -c 'import torch, triton; print("torch", torch.__version__, "triton", triton.__version__)'
  git log -1 --format='commit %H' 2>/dev/null || true
} | tee "$out/versions.txt"

stage "kernels" 150 "$python" -m pytest tests/engine/cuda/test_kernels.py -p no:cacheprovider
stage "steps" 120 "$python" -m pytest tests/engine/cuda/test_runner.py tests/engine/cuda/test_linear.py -p no:cacheprovider
stage "loads" 120 "$python" -m pytest tests/engine/cuda/test_loads.py -p no:cacheprovider
stage "graphs and fp8" 120 "$python" -m pytest tests/engine/cuda/test_gpu.py -m gpu -p no:cacheprovider
if command -v compute-sanitizer >/dev/null; then
  stage "memory access" 120 compute-sanitizer --tool memcheck --error-exitcode 9 \
    "$python" -m pytest tests/engine/cuda/test_kernels.py -k "attend and triton and bfloat16" -p no:cacheprovider
fi
stage "benchmark" 300 "$python" benchmarks/cuda_steps.py --json "$out/cuda_steps.json"

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
